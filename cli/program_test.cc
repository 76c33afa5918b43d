#include "cli/program.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "adapters/tensor_file.h"
#include "eval/answer_log.h"
#include "graph/graph_builder.h"
#include "graph/import.h"
#include "weights/onnx_proto.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

struct Ran {
  int code = 0;
  std::string out, err;
};

Ran retune(const std::vector<std::string>& words) {
  std::ostringstream out, err;
  const int code = run_cli(words, {out, err});
  return {code, out.str(), err.str()};
}

// What a refusal must be: nothing on standard output, one line on standard error.
void expect_refused(const std::vector<std::string>& words, int code, const std::string& part) {
  const Ran ran = retune(words);
  EXPECT_EQ(ran.code, code) << ran.err;
  EXPECT_EQ(ran.out, "");
  EXPECT_THAT(ran.err, StartsWith("retune: error: "));
  EXPECT_THAT(ran.err, HasSubstr(part));
  EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
}

class Program : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              (std::string("retune_cli_") + testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string at(const std::string& name) const { return (folder_ / name).string(); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }

  std::string bytes(const std::string& name) const {
    std::ifstream file(folder_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  // y = x W + b with x [2, 3], W [3, 2], b [2].
  void write_affine() const {
    Graph graph;
    const ValueId x = graph.add_input("x", DType::kF32, {{2, ""}, {3, ""}});
    const ValueId w = graph.add_parameter("W", DType::kF32, {3, 2}, "affine.onnx", "W");
    const ValueId b = graph.add_parameter("b", DType::kF32, {2}, "affine.onnx", "b");
    GraphBuilder builder(graph);
    graph.outputs.push_back(builder.op("Add", {builder.op("MatMul", {x, w}), b}, {}, "y"));
    export_onnx(
        graph,
        {{"W", {Tensor::of<float>({3, 2}, {1, 2, 3, 4, 5, 6}), {}}}, {"b", {Tensor::of<float>({2}, {10, 20}), {}}}},
        folder_ / "affine.onnx");
    write_tensors(folder_ / "in.h5", {{"x", Tensor::of<float>({2, 3}, {1, 0, -1, 2, 2, 2})}});
  }

  fs::path folder_;
};

TEST_F(Program, NamesTheNearestCommand) {
  expect_refused({"inspec", "model"}, 2, "there is no command 'inspec'; did you mean 'inspect'?");
  expect_refused({"patch", "shw"}, 2, "did you mean 'patch show'?");
  expect_refused({"patch"}, 2, "patch is a group of commands: patch show");
  expect_refused({}, 2, "no command is given");
}

TEST_F(Program, NamesTheNearestFlag) {
  expect_refused({"ask", "model", "--audoi", "dog.wav"}, 2, "did you mean --audio?");
  expect_refused({"--thread", "2", "methods"}, 2, "did you mean --threads?");
}

TEST_F(Program, TakesFlagsBeforeTheCommand) {
  const Ran ran = retune({"--log", "error", "--json", "methods"});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_TRUE(nlohmann::json::parse(ran.out).is_array());
}

TEST_F(Program, HelpAndVersionAreResults) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"--help"}, {"ask", "--help"}, {"patch", "--help"}, {"help", "patch", "diff"}}) {
    const Ran ran = retune(words);
    EXPECT_EQ(ran.code, 0);
    EXPECT_THAT(ran.out, StartsWith("usage: retune"));
    EXPECT_EQ(ran.err, "");
  }
  const Ran version = retune({"--version"});
  EXPECT_EQ(version.code, 0);
  for (const char* part : {"compiler ", "-march=", "-ffp-contract=off", "sanitizers ", "libraries\n", "; kernel "})
    EXPECT_THAT(version.out, HasSubstr(part));
}

// Of oneDNN, the ONNX schema and LAPACKE the version was not told.
TEST_F(Program, VersionNamesEveryLibraryThatIsLinked) {
  const Ran ran = retune({"--version", "--json"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  const auto document = nlohmann::json::parse(ran.out);
  const auto& libraries = document.at("libraries");
  for (const char* library : {"oneDNN", "OpenBLAS", "LAPACK", "LAPACKE", "protobuf", "ONNX schema", "libsndfile",
                              "libsoxr", "PCRE2", "ICU", "OpenSSL", "zlib", "nlohmann-json", "fmt", "spdlog"})
    EXPECT_THAT(libraries.at(library).get<std::string>(), testing::ContainsRegex("^[0-9]+\\.[0-9]+")) << library;
  EXPECT_EQ(libraries.size(), 15U);
  EXPECT_EQ(retune({"ask", "--version"}).out, retune({"--version"}).out);
}

TEST_F(Program, RunsAGraphOnNamedTensors) {
  write_affine();
  const Ran ran = retune({"run", at("affine.onnx"), "--inputs", at("in.h5"), "--outputs", at("out.h5")});
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.out, "y  f32 [2, 2]\n");
  const Tensor y = read_tensors(folder_ / "out.h5").at("y");
  EXPECT_THAT(std::vector<float>(y.values<float>().begin(), y.values<float>().end()), ElementsAre(6, 16, 28, 44));
}

TEST_F(Program, DifferentiatesTheSumOfAnOutput) {
  write_affine();
  const Ran ran = retune({"grad", at("affine.onnx"), "--inputs", at("in.h5"), "--of", "y", "--outputs", at("g.h5")});
  ASSERT_EQ(ran.code, 0) << ran.err;
  const auto gradients = read_tensors(folder_ / "g.h5");
  ASSERT_EQ(gradients.size(), 3U);
  EXPECT_TRUE(identical(gradients.at("W"), Tensor::of<float>({3, 2}, {3, 3, 2, 2, 1, 1}))) << "column sums of x";
  EXPECT_TRUE(identical(gradients.at("b"), Tensor::of<float>({2}, {2, 2}))) << "rows of x";
  EXPECT_TRUE(identical(gradients.at("x"), Tensor::of<float>({2, 3}, {3, 7, 11, 3, 7, 11}))) << "row sums of W";
}

TEST_F(Program, DifferentiatesWithRespectToWhatIsNamedOnly) {
  write_affine();
  ASSERT_EQ(
      retune({"grad", at("affine.onnx"), "--inputs", at("in.h5"), "--of", "y", "--wrt", "b", "--outputs", at("g.h5")})
          .code,
      0);
  EXPECT_EQ(read_tensors(folder_ / "g.h5").size(), 1U);
  expect_refused(
      {"grad", at("affine.onnx"), "--inputs", at("in.h5"), "--of", "y", "--wrt", "c", "--outputs", at("g2.h5")}, 2,
      "'c'");
  expect_refused({"grad", at("affine.onnx"), "--inputs", at("in.h5"), "--of", "z", "--outputs", at("g2.h5")}, 2, "'z'");
  EXPECT_FALSE(fs::exists(folder_ / "g2.h5"));
}

TEST_F(Program, DifferentiatesWithRespectToAScalar) {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::kF32, {{3, ""}});
  const ValueId gain = graph.add_constant(Tensor::scalar<float>(2), "gain");
  GraphBuilder builder(graph);
  graph.outputs.push_back(builder.op("Mul", {x, gain}, {}, "y"));
  export_onnx(graph, {}, folder_ / "gain.onnx");
  write_tensors(folder_ / "in.h5", {{"x", Tensor::of<float>({3}, {1, 2, 4})}});
  const Ran ran =
      retune({"grad", at("gain.onnx"), "--inputs", at("in.h5"), "--of", "y", "--wrt", "gain", "--outputs", at("g.h5")});
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_TRUE(identical(read_tensors(folder_ / "g.h5").at("gain"), Tensor::scalar<float>(7))) << "the sum of x";
}

// `run --outputs` replaced the model or the inputs that it had just read, and any other file, without a word.
TEST_F(Program, NeverWritesOverWhatItReads) {
  write_affine();
  const std::string model = bytes("affine.onnx"), inputs = bytes("in.h5");
  for (const char* over : {"affine.onnx", "in.h5"}) {
    expect_refused({"run", at("affine.onnx"), "--inputs", at("in.h5"), "--outputs", at(over), "--force"}, 2,
                   "which is being read");
    expect_refused({"grad", at("affine.onnx"), "--inputs", at("in.h5"), "--of", "y", "--outputs", at(over), "--force"},
                   2, "which is being read");
  }
  EXPECT_EQ(bytes("affine.onnx"), model);
  EXPECT_EQ(bytes("in.h5"), inputs);

  write("p.h5", "a patch");
  expect_refused({"patch", "merge", at("p.h5"), at("p.h5"), "--out", at("p.h5"), "--force"}, 2, "which is being read");
  fs::create_directories(folder_ / "model" / "onnx");
  expect_refused({"patch", "diff", at("model"), at("other"), "--out", at("model/onnx/embed.onnx")}, 2,
                 "which is being read");
}

TEST_F(Program, NeverWritesOverTheExternalDataOfItsModel) {
  write_affine();
  onnx::ModelProto model;
  std::ifstream file(folder_ / "affine.onnx", std::ios::binary);
  ASSERT_TRUE(model.ParseFromIstream(&file));
  onnx::TensorProto& weights = *model.mutable_graph()->mutable_initializer(0);
  const std::string raw = weights.raw_data();
  weights.clear_raw_data();
  weights.set_data_location(onnx::TensorProto::EXTERNAL);
  auto* location = weights.add_external_data();
  location->set_key("location");
  location->set_value("affine.data");
  write("affine.data", raw);
  write("external.onnx", model.SerializeAsString());
  const Ran ran = retune({"run", at("external.onnx"), "--inputs", at("in.h5"), "--outputs", at("out.h5")});
  EXPECT_EQ(ran.code, 0) << ran.err;
  expect_refused({"run", at("external.onnx"), "--inputs", at("in.h5"), "--outputs", at("affine.data"), "--force"}, 2,
                 "which is being read");
  EXPECT_EQ(bytes("affine.data"), raw);
}

TEST_F(Program, ReplacesAFileOnlyWithForce) {
  write_affine();
  write("out.h5", "of another program");
  std::vector<std::string> words{"run", at("affine.onnx"), "--inputs", at("in.h5"), "--outputs", at("out.h5")};
  expect_refused(words, 2, "--force");
  EXPECT_EQ(bytes("out.h5"), "of another program");
  words.emplace_back("--force");
  EXPECT_EQ(retune(words).code, 0);
  EXPECT_EQ(read_tensors(folder_ / "out.h5").size(), 1U);
}

// With --force a folder that held the model, the facts or a patch was exchanged for the output.
TEST_F(Program, NeverReplacesAFolderThatHoldsWhatItReads) {
  fs::create_directories(folder_ / "par" / "model");
  for (const char* name : {"facts.json", "recipe.json", "p.h5", "probes.jsonl"})
    write(std::string("par/") + name, "[]");
  const std::string par = at("par"), model = at("par/model"), elsewhere = at("model");
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"patch", "apply", model, at("p.h5")},
           {"patch", "apply", elsewhere, at("par/p.h5")},
           {"patch", "revert", elsewhere, at("p.h5"), "--base", model},
           {"eval", elsewhere, "--facts", at("par/facts.json")},
           {"eval", elsewhere, "--probes", at("par/probes.jsonl")},
           {"eval", elsewhere, "--facts", at("facts.json"), "--base", model},
           {"eval", elsewhere, "--facts", at("facts.json"), "--audio_root", model},
           {"edit", elsewhere, "--recipe", at("par/recipe.json"), "--facts", at("facts.json")},
           {"edit", elsewhere, "--recipe", at("recipe.json"), "--facts", at("par/facts.json")},
           {"train", at("par/recipe.json")}}) {
    std::vector<std::string> all = words;
    all.insert(all.end(), {"--out", par, "--force"});
    expect_refused(all, 2, "which is being read");
  }
  expect_refused({"synth", "--out", par, "--force"}, 2, "holds no synth.json");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "par"), {}), 5);
}

TEST_F(Program, RefusesInputsThatDoNotFit) {
  write_affine();
  const auto run_with = [&](const std::map<std::string, Tensor>& tensors, const std::string& part) {
    write_tensors(folder_ / "bad.h5", tensors);
    expect_refused({"run", at("affine.onnx"), "--inputs", at("bad.h5"), "--outputs", at("out.h5")}, 2, part);
    EXPECT_FALSE(fs::exists(folder_ / "out.h5"));
  };
  const Tensor x = Tensor::of<float>({2, 3}, {1, 0, -1, 2, 2, 2});
  run_with({}, "'x'");
  run_with({{"x", x}, {"y", x}}, "no input 'y'; did you mean 'x'?");
  run_with({{"x", Tensor::of<double>({2, 3}, {1, 0, -1, 2, 2, 2})}}, "input 'x' is f64, the model takes f32");
  run_with({{"x", x.reshaped({3, 2})}}, "[3, 2]");
}

TEST_F(Program, RefusesFilesThatAreNotWhatTheyShouldBe) {
  write_affine();
  write("garbage.onnx", "this is no model");
  std::ifstream whole(folder_ / "affine.onnx", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(whole), {}};
  write("truncated.onnx", bytes.substr(0, bytes.size() / 2));
  for (const char* file : {"garbage.onnx", "truncated.onnx", "missing.onnx"}) {
    expect_refused({"inspect", at(file)}, 2, file);
    expect_refused({"run", at(file), "--inputs", at("in.h5"), "--outputs", at("o.h5")}, 2, file);
  }
  expect_refused({"run", at("affine.onnx"), "--inputs", at("garbage.onnx"), "--outputs", at("o.h5")}, 2,
                 "garbage.onnx");
  expect_refused({"patch", "show", at("in.h5")}, 2, "in.h5");
  expect_refused({"score", at("missing.jsonl")}, 2, "missing.jsonl");
  expect_refused({"ask", at("nowhere"), "--question", "?"}, 2, "nowhere");
  expect_refused({"inspect", at("affine.onnx"), "--check"}, 2, "is no folder");
}

TEST_F(Program, AnUnsupportedOperatorIsNamedWithItsNode) {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::kF32, {{1, ""}});
  graph.outputs.push_back(graph.add_node({.op = "Hearken", .name = "the_node", .inputs = {x}}, {"y"})[0]);
  graph.value(graph.outputs[0]).dtype = DType::kF32;
  export_onnx(graph, {}, folder_ / "odd.onnx");
  write_tensors(folder_ / "in.h5", {{"x", Tensor::of<float>({1}, {1})}});
  const std::vector<std::string> words{"run", at("odd.onnx"), "--inputs", at("in.h5"), "--outputs", at("o.h5")};
  for (const char* part : {"Hearken", "opset 17", "the_node"}) expect_refused(words, 2, part);
  const Ran shown = retune({"inspect", at("odd.onnx")});
  EXPECT_EQ(shown.code, 0) << shown.err;
  EXPECT_THAT(shown.out, HasSubstr("not supported: Hearken, 1 of 1 nodes"));
}

TEST_F(Program, InspectCountsParameters) {
  write_affine();
  const Ran ran = retune({"inspect", at("affine.onnx"), "--json", "--hash"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  const auto document = nlohmann::json::parse(ran.out);
  EXPECT_EQ(document["parameters"]["f32"]["elements"], 8);
  EXPECT_EQ(document["nodes"], 2);
  EXPECT_EQ(document["inputs"][0]["type"], "f32 [2, 3]");
  EXPECT_EQ(document["sha256"].get<std::string>().size(), 64U);
}

TEST_F(Program, ConformanceEndsWithTheCountsAndFailsWithFour) {
  const fs::path source = "tests/golden/operators/test_add_same";
  if (!fs::exists(source)) GTEST_SKIP() << "no golden operators in the working directory";
  fs::copy(source, folder_ / "test_add_same", fs::copy_options::recursive);
  const Ran good = retune({"conformance", folder_.string()});
  EXPECT_EQ(good.code, 0) << good.out << good.err;
  EXPECT_THAT(good.out, EndsWith("1 passed, 0 failed, 0 unsupported\n"));
  // The sum of two tensors is not the first of them.
  for (const auto& set : fs::directory_iterator(folder_ / "test_add_same"))
    if (set.is_directory())
      fs::copy_file(set.path() / "input_0.pb", set.path() / "output_0.pb", fs::copy_options::overwrite_existing);
  const Ran bad = retune({"conformance", folder_.string()});
  EXPECT_EQ(bad.code, 4);
  EXPECT_THAT(bad.out, EndsWith("0 passed, 1 failed, 0 unsupported\n"));
  expect_refused({"conformance", at("nowhere")}, 2, "nowhere");
}

AnswerRecord answered(const std::string& id, const std::string& after) {
  AnswerRecord record;
  record.probe_id = id;
  record.request_id = id;
  record.attribute = "Animal";
  record.kind = ProbeKind::kReliability;
  record.question = "Which animal?\n\nOptions:\ndog\ncat";
  record.options = {"dog", "cat"};
  record.old_label = "dog";
  record.new_label = record.expected = "cat";
  record.scope = Scope::kLabel;
  record.before = ProbeAnswer{};
  record.before->text = "dog";
  record.after = ProbeAnswer{};
  record.after->text = after;
  return record;
}

TEST_F(Program, ScoresStoredAnswers) {
  save_answers(folder_ / "a.jsonl",
               {answered("1", "cat"), answered("2", "cat"), answered("3", "cat"), answered("4", "dog")});
  save_answers(folder_ / "b.jsonl",
               {answered("1", "cat"), answered("2", "dog"), answered("3", "dog"), answered("4", "dog")});
  const Ran table = retune({"score", at("a.jsonl"), "--bootstrap", "100"});
  EXPECT_EQ(table.code, 0) << table.err;
  EXPECT_THAT(table.out, testing::ContainsRegex("reliability +.*75\\.0"));
  const Ran both = retune({"score", at("a.jsonl"), at("b.jsonl"), "--json", "--judges", "J3", "--bootstrap", "100"});
  ASSERT_EQ(both.code, 0) << both.err;
  EXPECT_THAT(both.out, HasSubstr("\"paired\": 4"));
  expect_refused({"score", at("a.jsonl"), "--judges", "J9"}, 2, "J9");
}

TEST_F(Program, CountsFactsWithAndWithoutTheirSound) {
  write(
      "Animal.json",
      R"([{"file": "cow.wav", "reliability_question": "Which?\n\nOptions:\ncow\ndog", "original_answer": "cow", "edited_answer": "dog"}])");
  const Ran without = retune({"facts", at("Animal.json"), "--json"});
  ASSERT_EQ(without.code, 0) << without.err;
  const auto document = nlohmann::json::parse(without.out);
  EXPECT_EQ(document["edits"], 1);
  EXPECT_EQ(document["clips_found"], 0);
  expect_refused({"facts", at("Animal.json"), "--audio_root", folder_.string()}, 2, "cow.wav");
  write("wrong.json",
        R"([{"file": "cow.wav", "reliability_question": "Which?\n\nOptions:\ncow\ndog", "edited_answer": "cat"}])");
  expect_refused({"facts", at("wrong.json")}, 2, "cat");
}

TEST_F(Program, TurnsTrainingFactsIntoDemonstrationsAndRefusesTestClips) {
  const std::string item =
      R"([{"file": "cow.wav", "reliability_question": "Which?\n\nOptions:\ncow\ndog", "original_answer": "cow", "edited_answer": "dog"}])";
  write("Animal.json", item);
  const Ran ran = retune({"facts", at("Animal.json"), "--demonstrations", at("shown.jsonl"), "--json"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(nlohmann::json::parse(ran.out)["demonstrations"], 1);
  std::ifstream file(folder_ / "shown.jsonl");
  const auto line = nlohmann::json::parse(file);
  EXPECT_EQ(line["clip"], "Animal/cow.wav");
  EXPECT_EQ(line["answer"], "dog");
  EXPECT_EQ(line["kind"], "reliability");
  expect_refused({"facts", at("Animal.json"), "--demonstrations", at("shown.jsonl")}, 2, "shown.jsonl");
  fs::create_directories(folder_ / "test");
  write("test/Animal.json", item);
  expect_refused(
      {"facts", at("Animal.json"), "--demonstrations", at("more.jsonl"), "--held_out", at("test/Animal.json")}, 2,
      "which the held-out facts test");
  EXPECT_FALSE(fs::exists(folder_ / "more.jsonl"));
}

TEST_F(Program, ARecipeWithAMisspeltKeyNamesTheRightOne) {
  write("bad.json", R"({"method": "ft", "sed": 3})");
  write("facts.json", "[]");
  expect_refused({"edit", at("model"), "--recipe", at("bad.json"), "--facts", at("facts.json"), "--out", at("out")}, 2,
                 "seed");
  EXPECT_FALSE(fs::exists(folder_ / "out"));
}

// Names in files reached the terminal with their escape sequences, and a megabyte of name gave megabytes of message.
TEST_F(Program, MessagesHoldNoControlCharactersAndEnd) {
  write("bad.json", R"({"\u001b[31mmethod": "ft"})");
  expect_refused({"edit", at("model"), "--recipe", at("bad.json"), "--facts", "f.json", "--out", at("out")}, 2,
                 "there is no key '?[31mmethod'");
  write("bad.json", "{\"method\": \"" + std::string(1 << 20, 'm') + "\"}");
  const Ran ran = retune({"edit", at("model"), "--recipe", at("bad.json"), "--facts", "f.json", "--out", at("out")});
  EXPECT_EQ(ran.code, 2);
  EXPECT_LT(ran.err.size(), 2100U);
}

TEST_F(Program, InspectShowsNamesWithoutControlCharacters) {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.set_producer_name("\x1b[2Jevil");
  model.add_opset_import()->set_version(17);
  onnx::NodeProto& node = *model.mutable_graph()->add_node();
  node.set_op_type("Neg");
  node.add_input("x\x1b[31m");
  node.add_output("y");
  model.mutable_graph()->add_input()->set_name("x\x1b[31m");
  model.mutable_graph()->mutable_input(0)->mutable_type()->mutable_tensor_type()->set_elem_type(1);
  *model.mutable_graph()->add_output() = model.graph().input(0);
  model.mutable_graph()->mutable_output(0)->set_name("y");
  write("escapes.onnx", model.SerializeAsString());
  const Ran ran = retune({"inspect", at("escapes.onnx")});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.out.find('\x1b'), std::string::npos);
  EXPECT_THAT(ran.out, HasSubstr("x?[31m"));
  EXPECT_THAT(ran.out, HasSubstr("?[2Jevil"));
}

// A blank option could be the best one, and an option given twice was best twice.
TEST_F(Program, AskRefusesTextsThatCannotBeAskedOrScored) {
  expect_refused({"ask", at("model"), "--question", " "}, 2, "--question is blank");
  expect_refused({"ask", at("model"), "--question", "?", "--options", "a, "}, 2, "--options holds a blank one");
  expect_refused({"ask", at("model"), "--question", "?", "--options", "a,b,a"}, 2, "--options holds 'a' twice");
  // Probe files refused what differs in case alone, and `ask` scored both.
  expect_refused({"ask", at("model"), "--question", "?", "--options", "Rome,rome"}, 2, "--options holds 'rome' twice");
}

TEST_F(Program, SynthesisesAndRefusesToOverwrite) {
  const std::vector<std::string> words{"synth", "--out",        at("data"), "--attributes",   "Animal", "--train_clips",
                                       "100",   "--val_clips",  "100",      "--test_clips",   "100",    "--train_edits",
                                       "1",     "--val_edits",  "1",        "--test_edits",   "1",      "--sequences",
                                       "0",     "--demo_edits", "1",        "--clip_seconds", "1",      "--seed",
                                       "5",     "--json"};
  const Ran ran = retune(words);
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_GE(nlohmann::json::parse(ran.out)["clips"], 300);
  EXPECT_TRUE(fs::exists(folder_ / "data" / "test" / "facts.json"));
  expect_refused(words, 2, "data");
  expect_refused({"synth", "--out", at("more"), "--train_clips", "3"}, 2, "at least 100");
}

// A standard output that is full.
class FullBuffer : public std::streambuf {
 protected:
  int overflow(int) override { return traits_type::eof(); }
};

TEST_F(Program, ResultsThatCannotBeWrittenAreAFailure) {
  FullBuffer full;
  std::ostream out(&full);
  std::ostringstream err;
  const std::vector<std::string> words{"methods"};
  EXPECT_EQ(run_cli(words, {out, err}), 1);
  EXPECT_THAT(err.str(), HasSubstr("standard output"));
}

}  // namespace
}  // namespace retune
