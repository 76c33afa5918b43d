#include "recipes/cell.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tensor/error.h"

namespace retune {
namespace {

FactSet four_facts() {
  std::vector<Fact> facts(4);
  for (std::size_t i = 0; i < facts.size(); ++i) facts[i].request.id = "fact-" + std::to_string(i);
  return FactSet::of(std::move(facts), {{0, 1}, {1, 4}});
}

TEST(Cells, AModeSaysWhatIsIndependent) {
  const FactSet facts = four_facts();
  const auto single = cells_of(facts, StudyMode::kSingle);
  ASSERT_EQ(single.size(), 4U);
  EXPECT_EQ(single[3].number, 4);
  EXPECT_EQ(single[3].begin, 3U);
  EXPECT_EQ(single[3].end, 4U);
  const auto batch = cells_of(facts, StudyMode::kBatch);
  ASSERT_EQ(batch.size(), 1U);
  EXPECT_EQ(batch[0].end, 4U);
  const auto sequential = cells_of(facts, StudyMode::kSequential);
  ASSERT_EQ(sequential.size(), 2U);
  EXPECT_EQ(sequential[1].number, 2);
  EXPECT_EQ(sequential[1].begin, 1U);
  EXPECT_TRUE(cells_of(FactSet::of({}), StudyMode::kBatch).empty());
}

TEST(Cells, APatchHasItsPlace) {
  using Paths = std::vector<std::filesystem::path>;
  EXPECT_EQ(patch_paths({12, 11, 12}, StudyMode::kSingle), Paths{"edits/0012/patch.h5"});
  EXPECT_EQ(patch_paths({1, 0, 4}, StudyMode::kBatch), Paths{"patch.h5"});
  EXPECT_EQ(patch_paths({2, 4, 6}, StudyMode::kSequential), (Paths{"edits/0005/patch.h5", "edits/0006/patch.h5"}));
}

TEST(Cells, AResultReadsBackBitForBit) {
  CellResult result;
  result.cell = 7;
  result.patches = {ContentHash::of("a patch"), ContentHash::of("the next")};
  AnswerRecord record;
  record.probe_id = "fact-1/reliability";
  record.request_id = "fact-1";
  record.attribute = "Animal";
  record.new_label = "cow";
  record.scope = Scope::kLabel;
  record.kind = ProbeKind::kReliability;
  record.question = "Which animal?\nOptions:\ncow\ndog";
  record.options = {"cow", "dog"};
  record.expected = "cow";
  record.step = SequenceStep{1, 2, 3};
  record.after = ProbeAnswer{
      {5, 6}, "a \"cow\"", true, {{"cow", -0.1, 1, 3}, {"dog", -std::numeric_limits<double>::infinity(), 1, 3}}, 1, 2};
  record.first_token_kl = 1.0 / 3.0;
  record.decoding_hash = ContentHash::of("greedy").hex();
  result.answers = {record, record};
  result.answers[1].probe_id = "fact-1/portability";
  result.notes = {{{"loss", {0.1, 1.0 / 3.0, 1e-300}}, {"updates", {2}}}, {}};

  const std::string text = cell_text(result);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  const CellResult read = parse_cell(text, "journal");
  EXPECT_EQ(read.cell, 7);
  EXPECT_EQ(read.patches, result.patches);
  EXPECT_EQ(read.answers, result.answers);
  EXPECT_EQ(read.notes, result.notes);
  EXPECT_EQ(cell_text(read), text);
}

TEST(Cells, ATextThatIsNoCellIsRefused) {
  for (const char* text : {"{}", R"({"cell":1})", R"({"cell":"x","patches":[],"notes":[],"answers":[]})", "7"})
    EXPECT_THROW(parse_cell(text, "journal"), Error) << text;
}

}  // namespace
}  // namespace retune
