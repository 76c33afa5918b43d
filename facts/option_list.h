// The options that a question prints, and when two labels are the same.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace retune {

enum class OptionStyle {
  kNone,      // the question lists nothing that can be read reliably
  kListed,    // lines after the last "Options:", or one line with commas after it
  kLettered,  // (A) ... (B) ... in the question
};

struct OptionList {
  OptionStyle style = OptionStyle::kNone;
  // As printed, blanks trimmed, in order. Lettered options come without their letter: texts[0] is (A).
  std::vector<std::string> texts;

  // What an answer to the question may be: the texts, or for lettered options "A", "B", ... .
  std::vector<std::string> answers() const;
};

// methods.md 8.4, step 2, without the label tables. The last "Options:" wins over letters.
OptionList parse_options(std::string_view question);

// "QUESTION\n\nOptions:\nA\nB": how SAKE prints them, and what parse_options reads back.
std::string with_options(std::string_view question, const std::vector<std::string>& options);

// Equal but for ASCII letter case and blanks at the ends ("Male" and "male").
bool same_label(std::string_view a, std::string_view b);

// Position of `label` among `labels` by same_label, an exact match first; -1 if it is not there.
int find_label(const std::vector<std::string>& labels, std::string_view label);

// An option that nobody can be asked to choose.
struct OptionFault {
  std::size_t position = 0;
  bool blank = false;  // else the same_label as an earlier option
};

// The first such option, if there is any. Two equal options would share the answer's likelihood, and nobody can answer
// with a blank.
std::optional<OptionFault> check_options(std::span<const std::string> options);

}  // namespace retune
