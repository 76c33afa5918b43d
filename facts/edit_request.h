// What to change: "the sound of this clip, asked about like this, is to be answered with new_label".
#pragma once

#include <string>
#include <vector>

#include "facts/clip.h"

namespace retune {

// How far the change is meant to reach. SAKE's edits are remappings of a label, probed from one clip: other clips of
// the old label are to follow (generality 2 and 3).
enum class Scope { kLabel, kClip };

const char* scope_name(Scope scope);  // "label", "clip"
// A user error naming `place` on any other word.
Scope scope_from_name(const std::string& name, const std::string& place);

struct EditRequest {
  std::string id;         // unique in its fact set, stable across runs: "Animal-0007", "Animal-s02-e05"
  std::string attribute;  // SAKE's track: "Animal", "Emotion", "Gender", "Language"
  Clip clip;
  std::string question;              // with its options, as printed to the model
  std::vector<std::string> options;  // parsed from the question; empty if it lists none
  std::string old_label;             // may be empty: then nothing is known of the model's present answer
  std::string new_label;             // the target; one of the options if there are any
  Scope scope = Scope::kLabel;
};

}  // namespace retune
