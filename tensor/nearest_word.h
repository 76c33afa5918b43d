// What somebody who misspelt a word may have meant.
//
//   throw user_error("there is no part '{}'; did you mean '{}'?", given, nearest_word(given, parts));
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace retune {

// Insertions, deletions and replacements of bytes that make `b` of `a` (Levenshtein 1966). O(|a| |b|) time.
std::size_t edit_distance(std::string_view a, std::string_view b);

// The candidate with the fewest edits from `word`; the first of equals, empty if there is none.
std::string nearest_word(std::string_view word, std::span<const std::string> candidates);

// The up to `most` nearest candidates for a message: "'a', 'b', 'c'", the nearest first, of equals as they stand in
// `candidates`; "none" if there is none.
std::string nearest_words(std::string_view word, std::span<const std::string> candidates, std::size_t most = 3);

}  // namespace retune
