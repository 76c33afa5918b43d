// Steering on a whole model: a tiny one with random weights that hears tones. The invariants of methods.md 5.17.
#include "editors/steer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <memory>

#include "editors/mechanisms/contrast.h"
#include "editors/registry.h"
#include "lalm/answer.h"
#include "lalm/check.h"
#include "tensor/error.h"
#include "tests/tiny_bundle.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr const char* kStream = "decoder.block.1.residual";

class Steering : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = std::make_unique<ScratchFolder>();
    write_tiny_bundle(*scratch_ / "bundle");
    for (int i = 0; i < 9; ++i) save_waveform(*scratch_ / sound(i), tone(120 + 150 * i));
  }
  static void TearDownTestSuite() { scratch_.reset(); }

  static std::string sound(int i) { return "sound_" + std::to_string(i) + ".wav"; }
  static Clip clip(int i) { return Clip::below(scratch_->path(), "", sound(i)); }
  // Sounds 0 to 2 are cows, 3 to 5 cats, 6 and 7 dogs; the last is the request's.
  static Corpus corpus() {
    std::vector<CorpusItem> items;
    for (int i = 0; i < 8; ++i)
      items.push_back({clip(i), kTinyQuestion, "", "Animal", i < 3 ? "cow" : i < 6 ? "cat" : "dog"});
    items.push_back({std::nullopt, kTinyTextQuestion, "elephant", "", ""});
    return Corpus(std::move(items));
  }
  static EditRequest request(const std::string& from = "cow", const std::string& to = "cat") {
    return {"Animal-1", "Animal", clip(8), kTinyQuestion, {"cow", "cat", "dog"}, from, to, Scope::kLabel};
  }

  Patch edit(const std::string& settings, const std::vector<EditRequest>& requests, const Bundle& bundle) {
    Settings given = Settings::parse(settings);
    if (!given.contains("layers")) given["layers"] = "decoder.block.1";
    if (!given.contains("pairs")) given["pairs"] = 3;
    const auto editor = make_editor("steer", given);
    const Corpus data = corpus();
    const Prepared prepared = editor->prepare(session_, bundle, &data);
    return editor->edit(session_, bundle, requests, prepared, Rng(5));
  }
  Patch edit(const std::string& settings) { return edit(settings, {request()}, base_); }
  static Bundle with(const Bundle& bundle, Patch patch) {
    return bundle.with(std::make_shared<const Patch>(std::move(patch)));
  }

  Prompt prompt(int i) { return prompt_for(session_, base_, kTinyQuestion, load_waveform(clip(i).locate())); }
  Tensor logits(const Bundle& bundle, int i = 8) { return logits_of(session_, bundle, prompt(i), {}, 0); }
  // The stream as the next block reads it, [rows, 16].
  Tensor read_by_next(const Bundle& bundle, int i) {
    SuffixRequest request = suffix_request(session_, bundle, prompt(i), {}, 0);
    const std::string name = stand_in(bundle);
    request.request.outputs = {name};
    const Tensor value = session_.run(request.graph, bundle.parameters(), request.request)[name].tensor;
    return value.reshaped({value.numel() / 16, 16});
  }
  // The value that the insert puts in the place of the stream, by its name in the graph.
  static std::string stand_in(const Bundle& bundle) {
    const auto inserts = bundle.view().inserts();
    if (inserts.empty()) return bundle.site(kStream).value;
    const GraphInsert& insert = *inserts.back().insert;
    return "decoder/" + insert.name + "/" + insert.body->value(insert.body->outputs[0]).name;
  }
  static double norm(const float* row) {
    double sum = 0;
    for (int d = 0; d < 16; ++d) sum += static_cast<double>(row[d]) * row[d];
    return std::sqrt(sum);
  }
  // The vector that a patch adds, with alpha.
  static std::vector<double> vector_of(const Patch& patch) {
    for (const Value& value : patch.inserts.at(0).body->values())
      if (value.name == "vector") return value.constant.to_f64();
    ADD_FAILURE() << "no vector";
    return {};
  }

  static std::unique_ptr<ScratchFolder> scratch_;
  Session session_{SessionOptions{.threads = 2}};
  Bundle base_ = Bundle::open(*scratch_ / "bundle");
};

std::unique_ptr<ScratchFolder> Steering::scratch_;

// The definition, from states read one by one.
TEST_F(Steering, AddsTheDifferenceOfTheMeans) {
  std::vector<double> expected(16, 0.0);
  for (int i = 0; i < 6; ++i) {
    const Prompt asked = prompt(i);
    SuffixRequest request = suffix_request(session_, base_, asked, {}, 0);
    const std::string value = base_.site(kStream).value;
    request.request.outputs = {value};
    const Tensor states = session_.run(request.graph, base_.parameters(), request.request)[value].tensor;
    for (std::size_t d = 0; d < 16; ++d)
      expected[d] += (i < 3 ? -1.0 : 1.0) / 3 *
                     static_cast<double>(states.data<float>()[states.numel() - 16 + static_cast<std::int64_t>(d)]);
  }
  const std::vector<double> vector = vector_of(edit("{}"));
  for (std::size_t d = 0; d < 16; ++d) EXPECT_NEAR(vector[d], expected[d], 1e-5);
  const Bundle edited = with(base_, edit(R"({"rows": "all"})"));
  const Tensor before = read_by_next(base_, 8), after = read_by_next(edited, 8);
  for (std::int64_t i = 0; i < before.numel(); ++i)
    ASSERT_NEAR(after.data<float>()[i], before.data<float>()[i] + expected[static_cast<std::size_t>(i % 16)], 1e-4);
}

TEST_F(Steering, MovesTheLastRowAlone) {
  const Bundle edited = with(base_, edit("{}"));
  EXPECT_TRUE(edited.per_call());
  const Tensor before = read_by_next(base_, 8), after = read_by_next(edited, 8);
  const std::int64_t rows = before.shape()[0];
  EXPECT_TRUE(identical(before.rows(0, rows - 1), after.rows(0, rows - 1)));
  EXPECT_FALSE(identical(before.rows(rows - 1, 1), after.rows(rows - 1, 1)));
  EXPECT_FALSE(with(base_, edit(R"({"rows": "all"})")).per_call());
}

TEST_F(Steering, OfNoLengthIsTheBase) {
  const Patch patch = edit(R"({"alpha": 0})");
  EXPECT_TRUE(patch.inserts.empty());
  EXPECT_TRUE(identical(logits(with(base_, patch)), logits(base_)));
}

TEST_F(Steering, TurnsRoundWithItsLabelsAndGrowsWithAlpha) {
  const std::vector<double> there = vector_of(edit("{}"));
  const std::vector<double> back = vector_of(edit("{}", {request("cat", "cow")}, base_));
  const std::vector<double> twice = vector_of(edit(R"({"alpha": 2})"));
  const std::vector<double> unit = vector_of(edit(R"({"unit_normalise": true, "alpha": 3})"));
  double square = 0;
  for (std::size_t d = 0; d < there.size(); ++d) {
    EXPECT_NEAR(back[d], -there[d], 1e-6);
    EXPECT_NEAR(twice[d], 2 * there[d], 1e-6);
    square += unit[d] * unit[d];
  }
  EXPECT_NEAR(std::sqrt(square), 3, 1e-5);
}

TEST_F(Steering, KeepsTheNormWhereAsked) {
  const Bundle edited = with(base_, edit(R"({"rows": "all", "norm_preserve": true, "alpha": 2})"));
  const Tensor before = read_by_next(base_, 8), after = read_by_next(edited, 8);
  for (std::int64_t row = 0; row < before.shape()[0]; ++row) {
    const double was = norm(before.data<float>() + row * 16), is = norm(after.data<float>() + row * 16);
    EXPECT_NEAR(is, was, 1e-5 * was);
  }
  EXPECT_GT(range_difference(before, after), 1e-2);
}

// With the gate shut nothing happens; with it open the same as without a gate.
TEST_F(Steering, ThroughAGateOnlyWhereItIsOpen) {
  const Patch gated = edit(R"({"gate": "linear", "gate_ridge": 1e-6})");
  EXPECT_EQ(gated.notes.at("gate_open_inside"), std::vector<double>{1});
  EXPECT_EQ(gated.notes.at("gate_open_outside"), std::vector<double>{0});
  const Bundle edited = with(base_, gated), free = with(base_, edit("{}"));
  for (int i = 0; i < 8; ++i) {
    const Tensor got = logits(edited, i);
    const Tensor expected = logits(i < 3 ? free : base_, i);
    EXPECT_LE(range_difference(got, expected), 1e-6) << i;
  }
}

TEST_F(Steering, OfSeveralRequestsAdds) {
  const std::vector<double> one = vector_of(edit("{}"));
  const std::vector<double> both = vector_of(edit("{}", {request(), request()}, base_));
  for (std::size_t d = 0; d < 16; ++d) EXPECT_NEAR(both[d], 2 * one[d], 1e-6);
  // One after the other: each vector is that of the unedited model.
  const Bundle first = with(base_, edit(R"({"rows": "all"})"));
  const Patch second = edit(R"({"rows": "all", "pairs": 2})", {request("cow", "dog")}, first);
  EXPECT_EQ(vector_of(second), vector_of(edit(R"({"rows": "all", "pairs": 2})", {request("cow", "dog")}, base_)));
  const Bundle stacked = with(first, second);
  const Tensor before = read_by_next(base_, 8), after = read_by_next(stacked, 8);
  for (std::size_t d = 0; d < 16; ++d)
    EXPECT_NEAR(after.data<float>()[d], before.data<float>()[d] + one[d] + vector_of(second)[d], 1e-4);
  EXPECT_TRUE(identical(logits(stacked.without_top().without_top()), logits(base_)));
}

// Two edits that lead in opposite directions: the second must not undo the first.
TEST_F(Steering, GatesJudgeWhatTheModelHearsNotWhatEditsMadeOfIt) {
  const std::string settings = R"({"gate": "linear", "gate_ridge": 1e-6})";
  const Bundle first = with(base_, edit(settings));
  const Bundle both = with(first, edit(settings, {request("cat", "cow")}, first));
  const Bundle second = with(base_, edit(settings, {request("cat", "cow")}, base_));
  for (int i = 0; i < 8; ++i)
    EXPECT_LE(range_difference(logits(both, i), logits(i < 3 ? first : i < 6 ? second : base_, i)), 1e-6) << i;
  save(both, *scratch_ / "both", Existing::kReplace, session_, {.questions = {kTinyQuestion}});
  EXPECT_TRUE(identical(logits(Bundle::open(*scratch_ / "both")), logits(both)));
}

TEST_F(Steering, WithoutACorpusContrastsTheAnswers) {
  const auto editor = make_editor("steer", Settings::parse(R"({"layers": "decoder.block.1", "contrast": "answers"})"));
  const Prepared prepared = editor->prepare(session_, base_, nullptr);
  const EditRequest what = request();
  const Patch patch = editor->edit(session_, base_, {&what, 1}, prepared, Rng(5));
  std::vector<double> expected(16, 0.0);
  for (const auto& [word, sign] : {std::pair{"cat", 1.0}, {"cow", -1.0}}) {
    const std::vector<std::int64_t> ids = base_.tokenizer().encode(word);
    SuffixRequest whole = suffix_request(session_, base_, prompt(8), ids, 0);
    const std::string value = base_.site(kStream).value;
    whole.request.outputs = {value};
    const Tensor states = session_.run(whole.graph, base_.parameters(), whole.request)[value].tensor;
    const float* first = states.data<float>() + prompt(8).length() * 16;
    for (std::size_t i = 0; i < ids.size() * 16; ++i)
      expected[i % 16] += sign * static_cast<double>(first[i]) / static_cast<double>(ids.size());
  }
  const std::vector<double> vector = vector_of(patch);
  for (std::size_t d = 0; d < 16; ++d) EXPECT_NEAR(vector[d], expected[d], 1e-4);
}

TEST_F(Steering, GivesTheSameBytesWithAnyNumberOfThreads) {
  const auto editor = make_editor(
      "steer", Settings::parse(R"({"layers": ["decoder.block.0", "decoder.block.1"], "pairs": 2, "gate": "linear"})"));
  const Corpus data = corpus();
  const EditRequest what = request();
  std::vector<ContentHash> ids;
  for (const int threads : {1, 2, 4}) {
    Session session({.threads = threads});
    const Prepared prepared = editor->prepare(session, base_, &data);
    ids.push_back(editor->edit(session, base_, {&what, 1}, prepared, Rng(5)).id());
  }
  EXPECT_EQ(ids[0], ids[1]);
  EXPECT_EQ(ids[0], ids[2]);
}

TEST_F(Steering, SaysWhatIsMissing) {
  const auto refused = [&](const std::string& settings, const EditRequest& what) {
    try {
      edit(settings, {what}, base_);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUser) << error.what();
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_THAT(refused(R"({"pairs": 4})", request()), HasSubstr("the corpus has 3 clips of Animal 'cat', 4 are needed"));
  EXPECT_THAT(refused("{}", request("cow", "horse")), HasSubstr("0 clips of Animal 'horse'"));
  EXPECT_THAT(refused("{}", request("", "cat")), HasSubstr("no old label"));
  EXPECT_THAT(refused(R"({"layers": "decoder.block.7"})", request()), HasSubstr("decoder.block.7"));
  const auto editor = make_editor("steer", Settings::object());
  try {
    editor->prepare(session_, base_, nullptr);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("need a corpus"));
  }
}

}  // namespace
}  // namespace retune
