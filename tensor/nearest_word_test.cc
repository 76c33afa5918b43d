#include "tensor/nearest_word.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace retune {
namespace {

// The definition, without a table: the first bytes are equal, or one of three edits is made.
std::size_t by_definition(std::string_view a, std::string_view b) {
  if (a.empty() || b.empty()) return a.size() + b.size();
  if (a[0] == b[0]) return by_definition(a.substr(1), b.substr(1));
  return 1 + std::min({by_definition(a.substr(1), b), by_definition(a, b.substr(1)),
                       by_definition(a.substr(1), b.substr(1))});
}

TEST(EditDistance, IsItsDefinition) {
  const std::vector<std::string> words = {"", "a", "ab", "ba", "kitten", "sitting", "rate", "rates", "threads"};
  for (const std::string& a : words)
    for (const std::string& b : words) EXPECT_EQ(edit_distance(a, b), by_definition(a, b)) << a << " " << b;
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
}

TEST(NearestWord, IsTheFirstOfTheFewestEdits) {
  const std::vector<std::string> words = {"rank", "bate", "rate", "steps"};
  EXPECT_EQ(nearest_word("step", words), "steps");
  EXPECT_EQ(nearest_word("late", words), "bate");
  EXPECT_EQ(nearest_word("late", {}), "");
}

TEST(NearestWord, ListsTheNearestForAMessage) {
  const std::vector<std::string> words = {"steps", "bate", "rate", "rank"};
  EXPECT_EQ(nearest_words("late", words), "'bate', 'rate', 'rank'");
  EXPECT_EQ(nearest_words("late", words, 1), "'bate'");
  EXPECT_EQ(nearest_words("late", {}), "none");
}

}  // namespace
}  // namespace retune
