// The questions that synthetic data asks, each with its options: first-hop (which label has this clip), second-hop
// (what follows from the label) and text alone. Wordings are short and reuse few words, so that a small model can learn
// them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/rng.h"
#include "training/synth/split.h"

namespace retune::synth {

struct Question {
  std::string stem;                  // the question without its options
  std::vector<std::string> options;  // in the order printed
  std::string answer;                // one of the options, spelt as there

  // "STEM\n\nOptions:\nA\nB", as SAKE prints it.
  std::string text() const;
};

// How an option list spells its labels; SAKE's differ from question to question.
enum class LetterCase { kCanonical, kCapitalised, kLower };
// Canonical two times in three.
LetterCase draw_letter_case(Rng& rng);

// First hop: the wordings of "which label" for an attribute or sound task.
std::size_t wording_count(std::string_view attribute);
// A list of four options (fewer where the attribute has fewer labels), in a drawn order: `label`, every one of `also`,
// and others drawn. wording < wording_count(attribute).
Question label_question(std::string_view attribute, std::size_t wording, std::string_view label,
                        const std::vector<std::string>& also, LetterCase letter_case, Rng& rng);

// Second hop: the properties that can be asked of an attribute, each in some wordings. Sound tasks have none.
std::size_t property_count(std::string_view attribute);
// What the property is for a label, e.g. of Animal's first property and "cat": "kitten".
std::string property_value(std::string_view attribute, std::size_t property, std::string_view label);
// About a clip with this label. The options hold the property's value for `label` and for every one of `also`, without
// repeats.
Question property_question(std::string_view attribute, std::size_t property, std::string_view label,
                           const std::vector<std::string>& also, Rng& rng);

// Text alone. Every fact can be asked in six wordings; wording (fact + k) mod 6 is for test at k = 0, for val at k =
// 1, and train teaches the others, so that val and test ask facts that train teaches in other words.
std::size_t text_fact_count();
std::string text_fact_subject(std::size_t fact);  // "capital", "opposite", ...
std::vector<std::size_t> text_wordings(std::size_t fact, Split split);
Question text_question(std::size_t fact, std::size_t wording, Rng& rng);

}  // namespace retune::synth
