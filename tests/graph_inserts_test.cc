// Nodes added to a whole model: against interventions, which reach the same values by another road; in stacks; taken
// off again; in patches; and exported, opened and edited again.
#include "adapters/graph_insert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <memory>
#include <numeric>

#include "adapters/patch_arithmetic.h"
#include "editors/registry.h"
#include "lalm/answer.h"
#include "lalm/check.h"
#include "lalm/insert_builder.h"
#include "tensor/error.h"
#include "tests/tiny_bundle.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr const char* kDecoderFile = "onnx/decoder_model_merged.onnx";
constexpr const char* kStream = "decoder.block.1.residual";

Tensor drawn(std::int64_t width, std::uint64_t seed, double size = 1) {
  Rng rng(seed);
  std::vector<float> values(static_cast<std::size_t>(width));
  for (float& value : values) value = static_cast<float>(size * rng.normal());
  return Tensor::vector(values);
}

// Adds a vector to the site's value in every row.
GraphInsert adding(const Bundle& bundle, const std::string& site, const Tensor& vector, const std::string& name) {
  const std::string value = bundle.site(site).value;
  InsertBuilder b(bundle, name, value);
  b.replace(value, b.op("Add", {b.tap(value), b.tensor(vector, "vector")}));
  return b.finish();
}

// The same in the last row of a call alone, and there only in the first call if `first`.
GraphInsert adding_last(const Bundle& bundle, const std::string& site, const Tensor& vector, bool first) {
  const std::string value = bundle.site(site).value;
  InsertBuilder b(bundle, "last", value);
  const ValueId h = b.tap(value);
  ValueId here = b.is_last_row(h);
  if (first) here = b.op("And", {here, b.is_first_call()});
  b.replace(value, b.op("Where", {here, b.op("Add", {h, b.tensor(vector, "vector")}), h}));
  b.per_call();
  return b.finish();
}

std::shared_ptr<const Patch> patch_of(const Bundle& bundle, GraphInsert insert) {
  Patch patch;
  patch.method = "insert";
  patch.graph_hash = bundle.view().graph_hash();
  patch.files = bundle.view().files();
  patch.beneath = bundle.view().patch_ids();
  patch.inserts = {std::move(insert)};
  return std::make_shared<const Patch>(std::move(patch));
}

Bundle with(const Bundle& bundle, GraphInsert insert) { return bundle.with(patch_of(bundle, std::move(insert))); }

std::string error_of(const std::function<void()>& action, ErrorCode code = ErrorCode::kUser) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

class GraphInserts : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = std::make_unique<ScratchFolder>();
    write_tiny_bundle(*scratch_ / "bundle");
    save_waveform(*scratch_ / "moo.wav", tone(180));
  }
  static void TearDownTestSuite() { scratch_.reset(); }

  Prompt prompt(const Bundle& bundle) { return prompt_for(session_, bundle, kTinyQuestion, tone(180)); }
  Tensor logits(const Bundle& bundle, const std::vector<std::int64_t>& more = {}) {
    return logits_of(session_, bundle, prompt(bundle), more, 0);
  }
  Tensor captured(const Bundle& bundle, const std::string& value) {
    SuffixRequest request = suffix_request(session_, bundle, prompt(bundle), {}, 0);
    request.request.outputs = {value};
    return session_.run(request.graph, bundle.parameters(), request.request)[value].tensor;
  }
  // The base's logits with the vector added in flight, in these rows (all if there are none).
  Tensor intervened(const Bundle& bundle, const std::string& site, const Tensor& vector,
                    const std::vector<std::int64_t>& rows) {
    SuffixRequest request = suffix_request(session_, bundle, prompt(bundle), {}, 0);
    request.request.outputs = {"logits"};
    request.request.interventions = {{"vector", bundle.site(site).value, Intervention::Kind::kAdd, rows, vector}};
    const Tensor whole = session_.run(request.graph, bundle.parameters(), request.request)["logits"].tensor;
    return whole.reshaped({whole.shape()[1], whole.shape()[2]});
  }
  static EditRequest request() {
    return {"Animal-1",
            "Animal",
            Clip::below(scratch_->path(), "", "moo.wav"),
            kTinyQuestion,
            {"cow", "cat", "dog"},
            "cow",
            "cat",
            Scope::kLabel};
  }
  Bundle exported(const Bundle& bundle, const std::string& name) {
    save(bundle, *scratch_ / name, Existing::kReplace, session_, {.questions = {kTinyQuestion, kTinyTextQuestion}});
    return Bundle::open(*scratch_ / name);
  }
  fs::path patch_file(const std::string& name) const { return *scratch_ / name; }

  static std::unique_ptr<ScratchFolder> scratch_;
  Session session_{SessionOptions{.threads = 2}};
  Bundle base_ = Bundle::open(*scratch_ / "bundle");
  const Tensor vector_ = drawn(16, 3);
};

std::unique_ptr<ScratchFolder> GraphInserts::scratch_;

TEST_F(GraphInserts, DoWhatAnInterventionDoes) {
  const Bundle edited = with(base_, adding(base_, kStream, vector_, "plain"));
  const Tensor expected = intervened(base_, kStream, vector_, {});
  EXPECT_GT(range_difference(logits(base_), expected), 1e-2) << "the vector does nothing";
  EXPECT_LE(range_difference(logits(edited), expected), 1e-6);
}

TEST_F(GraphInserts, ThatLookForTheLastRowOfACallFindIt) {
  const Bundle edited = with(base_, adding_last(base_, kStream, vector_, false));
  EXPECT_TRUE(edited.per_call());
  const Tensor expected = intervened(base_, kStream, vector_, {prompt(base_).length() - 1});
  EXPECT_LE(range_difference(logits(edited), expected), 1e-6);
  EXPECT_TRUE(identical(logits(edited).rows(0, 3), logits(edited, {7, 9}).rows(0, 3)));
}

// A continuation is a call of its own: its last row is moved too, unless the insert asks for the first call.
TEST_F(GraphInserts, DecideForEachCallOfItsOwn) {
  const std::vector<std::int64_t> more = {7, 9, 11};
  const std::int64_t length = prompt(base_).length();
  const auto moved = [&](const Bundle& edited) {
    const Tensor by_call = logits(edited, more);
    const Tensor plain = logits(base_, more);
    std::vector<std::int64_t> rows;
    for (std::int64_t row = 0; row < by_call.shape()[0]; ++row)
      if (range_difference(by_call.rows(row, 1), plain.rows(row, 1)) > 1e-3) rows.push_back(row);
    return rows;
  };
  // In the last block a moved row moves no other.
  const std::string last = "decoder.block.2.residual";
  EXPECT_EQ(moved(with(base_, adding_last(base_, last, vector_, false))),
            (std::vector<std::int64_t>{length - 1, length + 2}));
  EXPECT_EQ(moved(with(base_, adding_last(base_, last, vector_, true))), (std::vector<std::int64_t>{length - 1}));
}

TEST_F(GraphInserts, AnswersComeFromOnePrefillAndSteps) {
  const Bundle edited = with(base_, adding_last(base_, kStream, vector_, true));
  AnswerOptions options;
  options.max_new_tokens = 8;
  const Answer ours = answer(session_, edited, prompt(edited), options);
  // Token by token through logits_of, each continuation given whole: first-call inserts do not see where it was cut.
  std::vector<std::int64_t> ids;
  while (ids.size() < ours.ids.size()) {
    const Tensor rows = logits_of(session_, edited, prompt(edited), ids, prompt(edited).length() - 1);
    const float* last = rows.data<float>() + (rows.shape()[0] - 1) * rows.shape()[1];
    ids.push_back(std::max_element(last, last + rows.shape()[1]) - last);
  }
  EXPECT_EQ(ours.ids, ids);
  EXPECT_FALSE(ids.empty());
}

TEST_F(GraphInserts, TakenOffLeaveTheVeryBase) {
  const Tensor before = logits(base_);
  const Bundle edited = with(base_, adding(base_, kStream, vector_, "plain"));
  logits(edited);
  const Bundle back = edited.without_top();
  EXPECT_EQ(back.graph(), base_.graph());
  EXPECT_EQ(back.text_graph(), base_.text_graph());
  EXPECT_FALSE(back.per_call());
  EXPECT_TRUE(identical(logits(back), before));
}

TEST_F(GraphInserts, StackUnlessTheyShareAName) {
  const Tensor other = drawn(16, 4);
  const Bundle one = with(base_, adding(base_, kStream, vector_, "one"));
  const Bundle both = with(one, adding(one, kStream, other, "two"));
  const Bundle instead = with(one, adding(one, kStream, other, "one"));
  Tensor sum = vector_.copy();
  for (int i = 0; i < 16; ++i) sum.mutable_data<float>()[i] += other.data<float>()[i];
  EXPECT_LE(range_difference(logits(both), intervened(base_, kStream, sum, {})), 1e-5);
  EXPECT_LE(range_difference(logits(instead), intervened(base_, kStream, other, {})), 1e-6);
  EXPECT_TRUE(identical(logits(instead.without_top()), logits(one)));
}

// A change of weights on top keeps the nodes, and its tensors keep what they are.
TEST_F(GraphInserts, StandWithChangesOfWeights) {
  const Bundle changed = with_random_change(base_, "decoder.block.0.mlp.down");
  const Bundle over = with(changed, adding(changed, kStream, vector_, "plain"));
  const Bundle inserted = with(base_, adding(base_, kStream, vector_, "plain"));
  const Bundle under = with_random_change(inserted, "decoder.block.0.mlp.down");
  EXPECT_EQ(under.graph(), inserted.graph());
  EXPECT_TRUE(identical(logits(over), logits(under)));
  EXPECT_GT(range_difference(logits(over), logits(inserted)), 1e-3);
}

TEST_F(GraphInserts, LeaveAloneWhatTheyDoNotReach) {
  const Site early = base_.site("decoder.block.0.mlp.down"), late = base_.site("decoder.block.2.mlp.down");
  const auto ask = [&](const Bundle& bundle) {
    session_.reset_counters();
    SuffixRequest request = suffix_request(session_, bundle, prompt(bundle), {}, 0, {late.weight});
    request.request.outputs = {"logits"};
    session_.run(request.graph, bundle.parameters(), request.request);
    return session_.counters().executions_by_value;
  };
  session_.trace(true);
  EXPECT_EQ(ask(base_).count(early.value), 1U);
  const auto again = ask(with(base_, adding(base_, "decoder.block.2.residual", vector_, "plain")));
  EXPECT_EQ(again.count(early.value), 0U);
  EXPECT_GT(again.size(), 0U);
}

TEST_F(GraphInserts, SitesMeanWhatTheirModulesGive) {
  const Bundle edited = with(base_, adding(base_, "decoder.block.1.mlp.down", vector_, "plain"));
  const Site site = edited.site("decoder.block.1.mlp.down");
  EXPECT_EQ(site.value, base_.site("decoder.block.1.mlp.down").value);
  EXPECT_TRUE(identical(captured(edited, site.value), captured(base_, site.value)));
  EXPECT_FALSE(identical(captured(edited, edited.site(kStream).value), captured(base_, base_.site(kStream).value)));
}

// An output of the graph keeps its name for the world; the module's own value gets another.
TEST_F(GraphInserts, MayStandInForAnOutputOfTheGraph) {
  const Site head = base_.site("decoder.head");
  const Tensor bias = drawn(head.out, 5, 10);
  const Bundle edited = with(base_, adding(base_, "decoder.head", bias, "bias"));
  const Tensor before = logits(base_), after = logits(edited);
  for (std::int64_t i = 0; i < before.numel(); ++i)
    ASSERT_NEAR(after.data<float>()[i], before.data<float>()[i] + bias.data<float>()[i % head.out], 1e-4);
  const std::string own = edited.site("decoder.head").value;
  EXPECT_NE(own, head.value);
  EXPECT_TRUE(identical(captured(edited, own), captured(base_, head.value)));
  const Bundle twice = with(edited, adding(edited, "decoder.head", bias, "again"));
  EXPECT_NEAR(logits(twice).data<float>()[1], after.data<float>()[1] + bias.data<float>()[1], 1e-4);
  const Bundle opened = exported(twice, "outputs");
  EXPECT_TRUE(identical(logits(opened), logits(twice)));
  EXPECT_TRUE(identical(captured(opened, opened.site("decoder.head").value), captured(base_, head.value)));
}

TEST_F(GraphInserts, ReachTheEncoderToo) {
  const Bundle edited = with(base_, adding(base_, "connector.1", vector_, "heard"));
  EXPECT_LE(range_difference(logits(edited), intervened(base_, "connector.1", vector_, {})), 1e-6);
  const Bundle opened = exported(edited, "encoder");
  EXPECT_TRUE(identical(logits(opened), logits(edited)));
  EXPECT_EQ(bytes_of(opened.folder() / kDecoderFile), bytes_of(base_.folder() / kDecoderFile));
}

TEST_F(GraphInserts, AnEditOnTopSeesThem) {
  const Bundle edited = with(base_, adding(base_, kStream, vector_, "plain"));
  AnswerOptions options;
  options.max_new_tokens = 0;
  options.expected = "cat";
  const auto editor = make_editor("ft", Settings::parse(R"({"steps": 1, "learning_rate": 0.01})"));
  const Prepared prepared = editor->prepare(session_, base_, nullptr);
  const EditRequest what = request();
  for (const Bundle& bundle : {base_, edited, edited.without_top()}) {
    const Patch patch = editor->edit(session_, bundle, {&what, 1}, prepared, Rng(5));
    const Prompt asked = prompt_for(session_, bundle, what.question, load_waveform(what.clip.locate()));
    EXPECT_NEAR(patch.notes.at("loss")[0], answer(session_, bundle, asked, options).forced_nll, 1e-4);
  }
}

TEST_F(GraphInserts, InAPatchFileAreTheSame) {
  const auto patch = patch_of(base_, adding_last(base_, kStream, vector_, true));
  patch->save(patch_file("insert.h5"));
  const auto loaded = std::make_shared<const Patch>(Patch::load(patch_file("insert.h5")));
  EXPECT_EQ(loaded->id(), patch->id());
  EXPECT_EQ(loaded->version(), 2);
  EXPECT_TRUE(identical(logits(base_.with(loaded)), logits(base_.with(patch))));
  loaded->save(patch_file("again.h5"));
  EXPECT_EQ(bytes_of(patch_file("insert.h5")), bytes_of(patch_file("again.h5")));
}

TEST_F(GraphInserts, AreWhatDiffFindsAndMergeRefuses) {
  const auto patch = patch_of(base_, adding(base_, kStream, vector_, "plain"));
  const Bundle edited = with_random_change(base_.with(patch), "decoder.block.2.mlp.down");
  const auto difference = std::make_shared<const Patch>(diff(base_.view(), edited.view()));
  ASSERT_EQ(difference->inserts.size(), 1U);
  EXPECT_LE(range_difference(logits(base_.with(difference)), logits(edited)), 1e-6);
  EXPECT_THAT(error_of([&] { diff(edited.view(), base_.view()); }), HasSubstr("'plain'"));
  const std::vector<WeightedPatch> parts = {{patch, 1.0}};
  EXPECT_THAT(error_of([&] { merge(parts); }), HasSubstr("adds nodes"));
}

TEST_F(GraphInserts, ExportedAndOpenedAreAModelLikeAnyOther) {
  const Bundle edited = with(base_, adding_last(base_, kStream, vector_, true));
  const Bundle opened = exported(edited, "opened");
  EXPECT_TRUE(opened.per_call());
  EXPECT_TRUE(identical(logits(opened, {7, 9}), logits(edited, {7, 9})));
  ASSERT_EQ(opened.sites().sites.size(), base_.sites().sites.size());
  EXPECT_EQ(opened.sites().unmatched, base_.sites().unmatched);
  for (std::size_t i = 0; i < base_.sites().sites.size(); ++i) {
    const Site &before = base_.sites().sites[i], &after = opened.sites().sites[i];
    EXPECT_EQ(after.name, before.name);
    EXPECT_EQ(after.targets, before.targets) << before.name;
  }
  EXPECT_TRUE(identical(captured(opened, opened.site(kStream).value), captured(base_, base_.site(kStream).value)));
  for (const CheckResult& result : check_bundle(session_, opened))
    EXPECT_TRUE(result.passed) << result.name << ": " << result.detail;
}

TEST_F(GraphInserts, GoIntoAModelThatHoldsSomeAlready) {
  const Bundle opened = exported(with(base_, adding(base_, kStream, vector_, "plain")), "first");
  const Tensor other = drawn(16, 4);
  const Bundle twice = with(opened, adding(opened, kStream, other, "plain"));
  Tensor sum = vector_.copy();
  for (int i = 0; i < 16; ++i) sum.mutable_data<float>()[i] += other.data<float>()[i];
  EXPECT_LE(range_difference(logits(twice), intervened(base_, kStream, sum, {})), 1e-5);
  const Bundle again = exported(twice, "second");
  EXPECT_TRUE(identical(logits(again), logits(twice)));
  EXPECT_EQ(again.sites().unmatched, base_.sites().unmatched);
  EXPECT_TRUE(identical(captured(again, again.site(kStream).value), captured(base_, base_.site(kStream).value)));
  // Weights of a model with nodes in it are edited like any others.
  const Bundle changed = with_random_change(again, "decoder.block.2.mlp.down");
  EXPECT_TRUE(identical(logits(exported(changed, "third")), logits(changed)));
}

TEST_F(GraphInserts, WorkInSixteenBits) {
  write_tiny_bundle(*scratch_ / "half", {.stored = DType::kF16, .arithmetic = DType::kF16});
  const Bundle half = Bundle::open(*scratch_ / "half");
  const Bundle edited = with(half, adding(half, kStream, vector_, "plain"));
  EXPECT_LE(range_difference(logits(edited), intervened(half, kStream, vector_, {})), 1e-2);
  EXPECT_GT(range_difference(logits(edited), logits(half)), 5e-2);
  EXPECT_TRUE(identical(logits(exported(edited, "half.out")), logits(edited)));
}

TEST_F(GraphInserts, ThatDoNotFitAreOneLine) {
  const auto broken = [&](const std::function<void(GraphInsert&, Graph&)>& change) {
    GraphInsert insert = adding(base_, kStream, vector_, "broken");
    Graph body = *insert.body;
    change(insert, body);
    insert.body = std::make_shared<const Graph>(std::move(body));
    return error_of([&] { with(base_, insert); });
  };
  EXPECT_THAT(broken([](GraphInsert&, Graph& body) { body.rename(body.inputs[0], "nowhere"); }), HasSubstr("nowhere"));
  EXPECT_THAT(broken([](GraphInsert& insert, Graph&) { insert.replaces = {"nowhere"}; }), HasSubstr("nowhere"));
  EXPECT_THAT(broken([](GraphInsert& insert, Graph&) { insert.replaces = {"attention_mask"}; }),
              HasSubstr("not computed"));
  EXPECT_THAT(broken([](GraphInsert& insert, Graph&) { insert.file = "onnx/other.onnx"; }),
              HasSubstr("onnx/other.onnx"));
  EXPECT_THAT(broken([](GraphInsert& insert, Graph&) { insert.name = "a b"; }), HasSubstr("'a b'"));
  EXPECT_THAT(broken([](GraphInsert&, Graph& body) { body.node(0).op = "Addd"; }), HasSubstr("Addd"));
  EXPECT_THAT(broken([](GraphInsert&, Graph& body) { body.node(0).domain = "com.microsoft"; }),
              HasSubstr("com.microsoft"));
  EXPECT_THAT(broken([](GraphInsert&, Graph& body) { body.node(0).version = 13; }), HasSubstr("operator set 13"));
  EXPECT_THAT(broken([&](GraphInsert&, Graph& body) {
                body.rename(body.inputs[0], base_.file_value(base_.site("decoder.block.2.residual").value).name);
              }),
              HasSubstr("before what is to stand in for it"));
  // A shape shows when the model is asked, with the node's name.
  const Bundle wide = with(base_, adding(base_, kStream, drawn(17, 1), "wide"));
  EXPECT_THAT(error_of([&] { logits(wide); }), HasSubstr("wide"));
  EXPECT_THAT(error_of([&] { InsertBuilder(base_, "x", "decoder/nowhere"); }), HasSubstr("nowhere"));
  InsertBuilder b(base_, "x", base_.site(kStream).value);
  EXPECT_THAT(error_of([&] { b.tap(base_.site("encoder.block.0.residual").value); }), HasSubstr("audio_encoder"));
}

TEST_F(GraphInserts, AnExportThatAddsSomethingElseIsSeen) {
  const Bundle edited = with(base_, adding(base_, kStream, vector_, "plain"));
  exported(edited, "spoilt");
  const fs::path file = *scratch_ / "spoilt" / kDecoderFile;
  const std::string good = bytes_of(file);
  const auto refusal = [&](const std::string& bytes) {
    std::ofstream(file, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return error_of([&] { prove_bundle(edited, *scratch_ / "spoilt", session_, {.questions = {}}); },
                    ErrorCode::kProof);
  };
  const auto with_byte = [&](std::size_t at) {
    std::string bytes = good;
    bytes.at(at) ^= 1;
    return bytes;
  };
  const std::string payload(reinterpret_cast<const char*>(vector_.raw()), vector_.bytes());
  EXPECT_THAT(refusal(with_byte(good.find(payload) + 5)), HasSubstr("plain/vector"));
  EXPECT_THAT(refusal(with_byte(good.find("plain/Add_0") + 8)), HasSubstr("plain"));
  EXPECT_THAT(refusal(with_byte(good.find("plain/own/") + 8)), HasSubstr("own"));
  EXPECT_THAT(refusal(with_byte(good.rfind("stand_ins"))), testing::AnyOf(HasSubstr("metadata"), HasSubstr("retune")));
  EXPECT_THAT(refusal(with_byte(good.find("MatMul"))), testing::AnyOf(HasSubstr("differs"), HasSubstr("expected")));
}

}  // namespace
}  // namespace retune
