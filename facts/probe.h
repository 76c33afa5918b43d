// What to ask, and what is expected. Editors never see this header.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "facts/clip.h"

namespace retune {

// reliability, generality, portability and plain are right if the answer is the expected one; the two localities if the
// answer is what it was before the edit.
enum class ProbeKind { kReliability, kGenerality, kAudioLocality, kTextLocality, kPortability, kPlain };

inline constexpr std::array<ProbeKind, 6> kProbeKinds = {ProbeKind::kReliability,   ProbeKind::kGenerality,
                                                         ProbeKind::kAudioLocality, ProbeKind::kTextLocality,
                                                         ProbeKind::kPortability,   ProbeKind::kPlain};

const char* kind_name(
    ProbeKind kind);  // "reliability", "generality", "audio_locality", "text_locality", "portability", "plain"
// A user error naming `place` on any other word.
ProbeKind kind_from_name(const std::string& name, const std::string& place);
// Types that the kind has: generality 3, audio_locality 4, the others 0.
int type_count(ProbeKind kind);

struct Probe {
  std::string id;          // unique in its file: "Animal-0007/audio_locality-3"
  std::string request_id;  // the edit that it belongs to; empty for plain probes
  ProbeKind kind = ProbeKind::kPlain;
  // generality: 1 same clip, paraphrase; 2 other clip of the old label, same question; 3 other clip, paraphrase.
  // audio_locality: 1 another attribute; 2 same attribute, label neither old nor new; 3 same attribute, label = new;
  // 4 another task. 0 for kinds without types.
  int type = 0;
  std::string attribute;  // of the edit: what macro averages run over
  std::string
      track;  // of the question: the attribute, another one, or a task such as "DynamicSuperb/SpeakerCounting_..."
  std::optional<Clip> clip;  // absent for questions in text alone
  std::string question;
  std::vector<std::string> options;  // what may be answered; empty if the question lists none
  // The right answer; for the localities the truth, against which only locality accuracy is measured.
  std::string answer;
  std::string subject;    // of a text question (MMLU's "astronomy"), else empty
  bool replaced = false;  // SAKE's `update`: put in place of an item that contradicted its sequence
};

// SAKE gives audio-locality items by position, and gender, having two labels, no type 2. The same types follow from
// what an item is, also where items are missing: a track with a slash is another task (4), another attribute is 1, the
// same attribute is 3 if the answer is the new label, else 2.
int audio_locality_type(const std::string& attribute, const std::string& new_label, const std::string& track,
                        const std::string& answer);

}  // namespace retune
