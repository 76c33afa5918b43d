// The rules of a codebook as a truth table (methods.md 5.16, T11), worked out by hand, and the invariants that follow
// from the cap on random queries.
#include "editors/mechanisms/codebook.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tensor/error.h"
#include "tensor/rng.h"

namespace retune {
namespace {

using Kind = Placing::Kind;
using Growth = CodebookRules::Growth;
using Query = std::vector<double>;
using Label = std::vector<std::int64_t>;

const Label kCat{5, 2}, kDog{6, 2}, kCow{2, 5};  // kCat and kCow: the same ids, another order

CodebookRules rules(bool capped = true, Growth growth = Growth::kCoverage) {
  return {.radius = 1, .growth = growth, .capped = capped};
}

std::vector<double> radii(const Codebook& book) {
  std::vector<double> result;
  for (const CodebookEntry& entry : book.entries()) result.push_back(entry.radius);
  return result;
}

Codebook with(std::initializer_list<std::pair<Query, Label>> queries, const CodebookRules& by) {
  Codebook book;
  for (const auto& [query, label] : queries) {
    const std::size_t entry = book.place(query, label, by).entry;
    book.set_value(entry, Query{static_cast<double>(entry), 1});
  }
  return book;
}

TEST(Codebook, IsEmptyAtFirst) {
  Codebook book;
  EXPECT_FALSE(book.find(Query{0, 0}).has_value());
  const Placing first = book.place(Query{0, 0}, kCat, rules());
  EXPECT_EQ(first.kind, Kind::kAdded);
  EXPECT_TRUE(std::isinf(first.distance));
  EXPECT_EQ(radii(book), std::vector<double>{1});
  EXPECT_TRUE(book.entries()[0].value.empty());
}

TEST(Codebook, AddsWhatIsFartherThanBothRadii) {
  for (const Label& label : {kCat, kDog}) {
    Codebook book = with({{{0, 0}, kCat}}, rules(false));
    const Placing far = book.place(Query{2.001, 0}, label, rules(false));
    EXPECT_EQ(far.kind, Kind::kAdded);
    EXPECT_EQ(far.entry, 1u);
    EXPECT_NEAR(far.distance, 2.001, 1e-6);
    EXPECT_EQ(radii(book), (std::vector<double>{1, 1}));
  }
}

TEST(Codebook, SplitsWithAnotherLabelNearby) {
  Codebook book = with({{{0, 0}, kCat}}, rules());
  const Placing split = book.place(Query{0.5, 0}, kDog, rules());
  EXPECT_EQ(split.kind, Kind::kSplit);
  EXPECT_EQ(split.entry, 1u);
  EXPECT_EQ(split.distance, 0.5);
  EXPECT_NEAR(book.entries()[0].radius, 0.25 - 1e-5, 1e-12);
  EXPECT_EQ(book.entries()[1].radius, 0.25);
}

TEST(Codebook, ASplitOfKeysThatNearlyMeetLeavesNoNegativeRadius) {
  for (const bool capped : {true, false}) {
    Codebook book = with({{{0, 0}, kCat}}, rules(capped));
    book.place(Query{0x1p-17, 0}, kDog, rules(capped));  // half of it is less than the margin
    EXPECT_EQ(book.entries()[0].radius, 0);
    EXPECT_EQ(book.entries()[1].radius, 0x1p-18);
    EXPECT_EQ(book.find(Query{0, 0}), 0u);
    EXPECT_EQ(book.find(Query{0x1p-17, 0}), 1u);
  }
}

TEST(Codebook, TheSameKeyWithAnotherLabelTakesTheEntryOver) {
  Codebook book = with({{{1, 2}, kCat}}, rules());
  const Placing replaced = book.place(Query{1, 2}, kDog, rules());
  EXPECT_EQ(replaced.kind, Kind::kReplaced);
  EXPECT_EQ(replaced.entry, 0u);
  ASSERT_EQ(book.entries().size(), 1u);
  EXPECT_EQ(book.entries()[0].label, kDog);
  EXPECT_TRUE(book.entries()[0].value.empty()) << "it is another answer's";
}

// The reference compares labels by the mean of their ids.
TEST(Codebook, LabelsAreSequences) {
  Codebook book = with({{{0, 0}, kCat}}, rules());
  EXPECT_EQ(book.place(Query{0.5, 0}, kCow, rules()).kind, Kind::kSplit);
}

TEST(Codebook, CoverageGrowsTheRadiusToTheQuery) {
  for (const bool capped : {true, false}) {
    Codebook book = with({{{0, 0}, kCat}}, rules(capped));
    const Placing grown = book.place(Query{1.5, 0}, kCat, rules(capped));
    EXPECT_EQ(grown.kind, Kind::kGrown);
    EXPECT_EQ(radii(book), std::vector<double>{1.5});
    EXPECT_EQ(book.entries()[0].key, (std::vector<float>{0, 0}));
    EXPECT_EQ(book.entries()[0].value, (std::vector<float>{0, 1})) << "it is trained on";
    EXPECT_EQ(book.find(Query{1.5, 0}), 0u);
  }
}

TEST(Codebook, TheMovingAverageMovesTheKeyHalfway) {
  Codebook book = with({{{0, 0}, kCat}}, rules());
  EXPECT_EQ(book.place(Query{1.5, 0}, kCat, rules(true, Growth::kMovingAverage)).kind, Kind::kGrown);
  EXPECT_EQ(book.entries()[0].key, (std::vector<float>{0.75, 0}));
  EXPECT_EQ(radii(book), std::vector<double>{1.5});
  EXPECT_EQ(book.find(Query{1.5, 0}), 0u);
  EXPECT_EQ(book.find(Query{0, 0}), 0u);
}

TEST(Codebook, WhatIsCoveredAlreadyChangesNothing) {
  Codebook book = with({{{0, 0}, kCat}}, rules());
  const Codebook before = book;
  const Placing covered = book.place(Query{0.9, 0}, kCat, rules());
  EXPECT_EQ(covered.kind, Kind::kCovered);
  EXPECT_EQ(book.entries(), before.entries());
}

TEST(Codebook, TheReferenceCoversKeysOfOtherLabels) {
  Codebook wide = with({{{0, 0}, kCat}, {{1.2, 0}, kDog}}, rules(false));
  EXPECT_NEAR(wide.entries()[0].radius, 0.6, 1e-4);
  wide.place(Query{0, 1.3}, kCat, rules(false));
  EXPECT_NEAR(wide.entries()[0].radius, 1.3, 1e-6);  // and the dog's key is 1.2 away
}

TEST(Codebook, TheCapGivesAnEntryOfItsOwnToWhatCannotBeReached) {
  Codebook book = with({{{0, 0}, kCat}, {{1.2, 0}, kDog}}, rules());
  const Placing own = book.place(Query{0, 1.3}, kCat, rules());
  EXPECT_EQ(own.kind, Kind::kAdded);
  EXPECT_NEAR(own.distance, 1.3, 1e-6);
  EXPECT_NEAR(book.entries()[0].radius, 0.6, 1e-4);
  EXPECT_NEAR(book.entries()[2].radius, std::hypot(1.2, 1.3) / 2, 1e-6);
  EXPECT_EQ(book.find(Query{0, 1.3}), 2u);
}

// Queries as they come, of few labels, so that every rule is met. The cap promises that no entry covers a key of
// another label, the rules that a query's own label answers it from then on.
TEST(Codebook, HoldsItsInvariantsOnRandomQueries) {
  for (const Growth growth : {Growth::kCoverage, Growth::kMovingAverage}) {
    const CodebookRules by = rules(true, growth);
    Rng rng(growth == Growth::kCoverage ? 3 : 4);
    Codebook book;
    std::map<Kind, int> met;
    for (int edit = 0; edit < 300; ++edit) {
      const Query query{rng.uniform(-4, 4), rng.uniform(-4, 4), rng.uniform(-1, 1)};
      const Label label{static_cast<std::int64_t>(rng.below(3)), 9};
      const Placing placing = book.place(query, label, by);
      ++met[placing.kind];
      book.set_value(placing.entry, Query{1});
      EXPECT_EQ(book.entries()[placing.entry].label, label);
      EXPECT_EQ(book.find(query, 1e-6), placing.entry) << "edit " << edit;
      for (std::size_t i = 0; i < book.entries().size(); ++i) {
        const CodebookEntry& entry = book.entries()[i];
        EXPECT_GE(entry.radius, 0);
        EXPECT_EQ(book.find(Query(entry.key.begin(), entry.key.end())), i) << "a key's own query, edit " << edit;
        for (const CodebookEntry& other : book.entries()) {
          double squares = 0;
          for (std::size_t d = 0; d < entry.key.size(); ++d)
            squares += std::pow(static_cast<double>(entry.key[d]) - static_cast<double>(other.key[d]), 2);
          if (other.label != entry.label) {
            EXPECT_LE(entry.radius, std::sqrt(squares) / 2 + 1e-12);
          }
        }
      }
    }
    for (const Kind kind : {Kind::kAdded, Kind::kSplit, Kind::kGrown, Kind::kCovered}) EXPECT_GT(met[kind], 0);
  }
}

TEST(Codebook, WithoutAnEntryItsQueriesAreAnsweredAsBefore) {
  const Codebook one = with({{{0, 0}, kCat}}, rules());
  const Codebook two = with({{{0, 0}, kCat}, {{9, 0}, kDog}}, rules());
  EXPECT_EQ(two.find(Query{9.2, 0}), 1u);
  EXPECT_EQ(two.without(1).entries(), one.entries());
  EXPECT_FALSE(two.without(1).find(Query{9.2, 0}).has_value());
  EXPECT_EQ(two.without(0).find(Query{9.2, 0}), 0u);
}

// --- Memory ---

ModelView view_with(const std::vector<std::map<std::string, Tensor>>& memories) {
  ModelView view = ModelView::of(ContentHash(), {}, {});
  for (const auto& memory : memories) {
    Patch patch;
    patch.method = "grace";
    patch.graph_hash = view.graph_hash();
    patch.beneath = view.patch_ids();
    patch.memory = memory;
    view = view.with(std::make_shared<const Patch>(std::move(patch)));
  }
  return view;
}

TEST(Codebook, GrowsFromPatchToPatchByWhatChanged) {
  const Codebook one = with({{{0, 0}, kCat}}, rules()), two = with({{{0, 0}, kCat}, {{9, 0}, kDog}}, rules());
  const Codebook three = with({{{0, 0}, kCat}, {{9, 0}, kDog}, {{9.5, 0}, {1, 2, 3}}}, rules());
  const std::vector<std::map<std::string, Tensor>> memories = {
      one.changes_since({}, "grace/x"), two.changes_since(one, "grace/x"), three.changes_since(two, "grace/x")};
  EXPECT_EQ(memories[1].at("grace/x/entries").to_i64(), std::vector<std::int64_t>{1});
  EXPECT_EQ(memories[2].at("grace/x/entries").to_i64(), (std::vector<std::int64_t>{1, 2})) << "it was split";
  EXPECT_EQ(Codebook::of(view_with(memories), "grace/x").entries(), three.entries());
  EXPECT_EQ(Codebook::of(view_with(memories).without_top(), "grace/x").entries(), two.entries());
  EXPECT_TRUE(Codebook::of(view_with(memories), "grace/y").entries().empty());
  EXPECT_TRUE(three.changes_since(three, "grace/x").empty());
}

TEST(Codebook, DamagedMemoryIsAUserError) {
  const auto sound = with({{{0, 0}, kCat}}, rules()).changes_since({}, "g");
  const std::vector<std::pair<std::string, Tensor>> damages = {{"g/entries", Tensor::vector<std::int64_t>({7})},
                                                               {"g/entries", Tensor::vector<std::int64_t>({-1})},
                                                               {"g/radii", Tensor::vector<double>({-0.5})},
                                                               {"g/radii", Tensor::vector<float>({1})},
                                                               {"g/label_lengths", Tensor::vector<std::int64_t>({9})},
                                                               {"g/keys", Tensor::zeros(DType::kF32, {2, 2})},
                                                               {"g/values", Tensor::zeros(DType::kF32, {2})}};
  for (const auto& [name, tensor] : damages) {
    auto memory = sound;
    memory[name] = tensor;
    try {
      Codebook::of(view_with({memory}), "g");
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUser);
      EXPECT_THAT(error.what(), testing::HasSubstr("damaged"));
    }
  }
  auto lacking = sound;
  lacking.erase("g/labels");
  EXPECT_THROW(Codebook::of(view_with({lacking}), "g"), Error);
}

}  // namespace
}  // namespace retune
