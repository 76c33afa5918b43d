// Has a response fallen apart? (methods.md 8.10)
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace retune {

struct Degeneration {
  // 1 - unique/all n-grams, n = 1..4, over the generated ids, or over words where there are no ids; 0 where there is no
  // n-gram.
  std::array<double, 4> repetition{};
  // Entropy in bits of the n-grams of words, n = 2 and 3, and ½(⅔·H2 + 4/3·H3), as the CounterFact evaluation has it. A
  // short right answer ("male") has 0: never a flag by itself.
  double bigram_entropy = 0;
  double trigram_entropy = 0;
  double fluency = 0;
  int longest_token_run = 0;      // of one id (or word) in a row
  int longest_character_run = 0;  // of one code point in a row, blanks left out
  // Bytes of the text to bytes of its LZ78 code (phrase k of the parse costs ⌈log2 k⌉ + 8 bits); 0 for an empty text.
  double compression_ratio = 0;
  double non_printable_share =
      0;  // of code points that are control, unassigned, private or U+FFFD; line breaks and tabs are printable
  bool hit_length_limit = false;
  // A unit of 1-20 characters at least 5 times in a row (blanks left out), or repetition[3] > 0.5 with 20 or more ids,
  // or nothing but blanks.
  bool degenerate = false;
};

Degeneration degeneration(const std::vector<std::int64_t>& ids, std::string_view text, bool hit_length_limit);

}  // namespace retune
