#include "tensor/nearest_word.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

namespace retune {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row.back();
}

namespace {

// Distances and candidates' positions: a position breaks ties.
std::vector<std::pair<std::size_t, std::size_t>> ranked(std::string_view word, std::span<const std::string> candidates,
                                                        std::size_t most) {
  std::vector<std::pair<std::size_t, std::size_t>> ranks;
  ranks.reserve(candidates.size());
  for (std::size_t i = 0; i < candidates.size(); ++i) ranks.emplace_back(edit_distance(word, candidates[i]), i);
  const std::size_t kept = std::min(most, ranks.size());
  std::partial_sort(ranks.begin(), ranks.begin() + static_cast<std::ptrdiff_t>(kept), ranks.end());
  ranks.resize(kept);
  return ranks;
}

}  // namespace

std::string nearest_word(std::string_view word, std::span<const std::string> candidates) {
  const auto ranks = ranked(word, candidates, 1);
  return ranks.empty() ? std::string() : candidates[ranks.front().second];
}

std::string nearest_words(std::string_view word, std::span<const std::string> candidates, std::size_t most) {
  std::string text;
  for (const auto& [distance, position] : ranked(word, candidates, most))
    text += (text.empty() ? "'" : ", '") + candidates[position] + "'";
  return text.empty() ? "none" : text;
}

}  // namespace retune
