// Text as the judges see it. All functions take and give UTF-8; bytes that are none count as U+FFFD.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace retune {

// methods.md 8.4, step 1: NFKC, lower case, '_' and '-' to blanks, curly quotes to straight ones, runs of blanks to one
// (line breaks stay), and blanks and .'"* trimmed from the ends.
std::string normalized(std::string_view text);

// Runs of letters, digits and combining marks of a normalised text.
std::vector<std::string> words(std::string_view normalized_text);

// F1 of the two bags of words; 0 if either has none.
double word_f1(std::string_view normalized_a, std::string_view normalized_b);

// Byte positions at which `word` stands in `text` with no letter, digit or mark directly before or after. Both
// normalised.
std::vector<std::size_t> whole_word_positions(std::string_view text, std::string_view word);

// The text's code points, ill-formed ones as U+FFFD.
std::u32string code_points(std::string_view text);

// The text with every ill-formed byte sequence replaced by U+FFFD.
std::string well_formed(std::string_view text);

}  // namespace retune
