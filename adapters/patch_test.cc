#include "adapters/patch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "adapters/hdf5_file.h"
#include "adapters/hdf5_writer.h"
#include "tensor/error.h"
#include "tensor/rng.h"
#include "tests/oracle.h"

namespace retune {
namespace {

using ::testing::HasSubstr;

class PatchFile : public ::testing::Test {
 public:
  ~PatchFile() override { std::filesystem::remove_all(folder_); }

 protected:
  PatchFile() : folder_(std::filesystem::path(::testing::TempDir()) / ("retune-patch-" + std::to_string(getpid()))) {
    std::filesystem::create_directories(folder_);
  }
  std::filesystem::path file(const std::string& name) const { return folder_ / name; }
  std::filesystem::path folder_;
};

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A patch with something of everything.
Patch sample() {
  Patch patch;
  patch.method = "rome";
  patch.recipe = R"({"method": "rome", "layer": 3})";
  patch.facts = R"([{"audio": "Katze.flac", "answer": "dög"}])";
  patch.seed = ~std::uint64_t{0};
  patch.graph_hash = ContentHash::of("graph");
  patch.files = {{"onnx/decoder.onnx", ContentHash::of("decoder")}};
  patch.beneath = {ContentHash::of("below")};
  const DeltaTarget plain{.file = "onnx/decoder.onnx", .initializer = "a/b", .sha256 = ContentHash::of("w")};
  DeltaTarget sliced = plain;
  sliced.initializer = "packed";
  sliced.transposed = true;
  sliced.stored = DType::kBF16;
  sliced.slice = Slice{1, 4, 2};
  patch.deltas = {{"decoder.block.3.mlp.down",
                   {2, 3},
                   LowRankDelta{Tensor::of<float>({2, 1}, {1, 2}), Tensor::of<float>({3, 1}, {1, 0, -1})},
                   {plain, sliced}},
                  {"init:bias", {2}, DenseDelta{Tensor::of<float>({2}, {0.5, -0.5})}, {plain}},
                  {"init:conv",
                   {2, 2, 2},
                   SparseDelta{Tensor::vector(std::vector<std::int64_t>{1, 7}), Tensor::of<float>({2}, {3, 4})},
                   {plain}}};
  patch.memory = {{"keys/layer.3", Tensor::of<double>({1, 2}, {1.5, 2.5})},
                  {"bytes", Tensor::of<std::uint8_t>({2}, {1, 2})}};
  patch.notes = {{"loss", {3.5, 0.1, 1e-300}}, {"steps", {3}}, {"none", {}}};
  return patch;
}

std::string error_of(const std::filesystem::path& path) {
  try {
    (void)Patch::load(path);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  return "no error";
}

TEST_F(PatchFile, WhatIsSavedIsLoaded) {
  const Patch patch = sample();
  patch.save(file("p.h5"));
  const Patch loaded = Patch::load(file("p.h5"));
  EXPECT_EQ(loaded.id(), patch.id());
  EXPECT_EQ(loaded.method, patch.method);
  EXPECT_EQ(loaded.recipe, patch.recipe);
  EXPECT_EQ(loaded.facts, patch.facts);
  EXPECT_EQ(loaded.seed, patch.seed);
  EXPECT_EQ(loaded.retune, patch.retune);
  EXPECT_EQ(loaded.graph_hash, patch.graph_hash);
  EXPECT_EQ(loaded.files, patch.files);
  EXPECT_EQ(loaded.beneath, patch.beneath);
  EXPECT_EQ(loaded.notes, patch.notes);
  ASSERT_EQ(loaded.deltas.size(), patch.deltas.size());
  for (std::size_t i = 0; i < patch.deltas.size(); ++i) {
    EXPECT_EQ(loaded.deltas[i].site, patch.deltas[i].site);
    EXPECT_EQ(loaded.deltas[i].targets, patch.deltas[i].targets);
    EXPECT_EQ(form_name(loaded.deltas[i]), form_name(patch.deltas[i]));
    EXPECT_TRUE(identical(materialise(loaded.deltas[i]), materialise(patch.deltas[i])));
  }
  ASSERT_EQ(loaded.memory.size(), patch.memory.size());
  for (const auto& [name, tensor] : patch.memory) EXPECT_TRUE(identical(loaded.memory.at(name), tensor)) << name;
}

TEST_F(PatchFile, SamePatchSameBytes) {
  sample().save(file("a.h5"));
  Patch::load(file("a.h5")).save(file("b.h5"));
  EXPECT_EQ(bytes_of(file("a.h5")), bytes_of(file("b.h5")));
}

TEST_F(PatchFile, AnEmptyPatchIsAPatch) {
  Patch patch;
  patch.method = "none";
  patch.save(file("p.h5"));
  EXPECT_EQ(Patch::load(file("p.h5")).id(), patch.id());
}

// x + 1 in the place of x.
GraphInsert sample_insert() {
  Graph body;
  const ValueId tap = body.add_input("/model/x", DType::kUndefined);
  const ValueId by = body.add_constant(Tensor::of<float>({2}, {1, 2}), "by");
  const ValueId sum = body.add_node({.op = "Add", .inputs = {tap, by}}, {"sum"})[0];
  body.outputs = body.add_node({.op = "LeakyRelu", .inputs = {sum}, .attributes = {{"alpha", 0.1}}}, {"relu"});
  return {"one", "onnx/decoder.onnx", std::make_shared<const Graph>(std::move(body)), {"/model/x"}, true};
}

TEST_F(PatchFile, InsertsAreLoadedAsTheyWereSaved) {
  Patch patch = sample();
  const ContentHash without = patch.id();
  EXPECT_EQ(patch.version(), 1);
  patch.inserts = {sample_insert()};
  patch.save(file("p.h5"));
  const Patch loaded = Patch::load(file("p.h5"));
  EXPECT_NE(loaded.id(), without);
  EXPECT_EQ(loaded.id(), patch.id());
  ASSERT_EQ(loaded.inserts.size(), 1U);
  const GraphInsert &before = patch.inserts[0], &after = loaded.inserts[0];
  EXPECT_EQ(after.name, before.name);
  EXPECT_EQ(after.file, before.file);
  EXPECT_EQ(after.replaces, before.replaces);
  EXPECT_TRUE(after.per_call);
  EXPECT_EQ(hash_of(after), hash_of(before));
  EXPECT_EQ(stored_bytes(after), 8);
  EXPECT_EQ(after.body->nodes()[1].attributes.f("alpha", 0), 0.1);
  EXPECT_THAT(describe(loaded, Detail::kSummary), HasSubstr("in place of /model/x"));
  const auto json = nlohmann::json::parse(describe_json(loaded, Detail::kSummary));
  EXPECT_EQ(json["inserts"][0]["nodes"][1]["op"], "LeakyRelu");
  loaded.save(file("q.h5"));
  EXPECT_EQ(bytes_of(file("p.h5")), bytes_of(file("q.h5")));
}

// Files from strangers: what is no body, what reads what is not there, what a body may not hold.
TEST_F(PatchFile, BrokenInsertsAreRefused) {
  Patch patch = sample();
  patch.inserts = {sample_insert()};
  patch.save(file("good.h5"));
  const std::string good = bytes_of(file("good.h5"));
  const auto refusal = [&](const std::string& what, const std::string& with) {
    std::string bytes = good;
    const std::size_t at = bytes.find(what);
    EXPECT_NE(at, std::string::npos) << what;
    bytes.replace(at, with.size(), with);
    std::ofstream(file("bad.h5"), std::ios::binary) << bytes;
    return error_of(file("bad.h5"));
  };
  EXPECT_THAT(refusal("\"op\": \"Add\"", "\"op\": \"Axd\""), HasSubstr("Axd"));
  EXPECT_THAT(refusal("\"Add\"", "[\"A\"]"), HasSubstr("damaged"));
  EXPECT_THAT(refusal("\"by\"\n", "\"bz\"\n"), HasSubstr("'by'"));
  EXPECT_THAT(refusal("\"name\": \"one\"", "\"name\": \"o e\""), HasSubstr("'o e'"));
  EXPECT_THAT(refusal("\"f\": 0.1", "\"q\": 0.1"), HasSubstr("kind 'q'"));
  EXPECT_THAT(refusal("\"per_call\": true", "\"per_call\": null"), HasSubstr("damaged"));
  EXPECT_THAT(refusal("\"f\": 0.1", "\"f\": 0.2"), HasSubstr("id"));
}

TEST(PatchId, CoversEveryPart) {
  std::set<ContentHash> ids{sample().id()};
  const auto changed = [&ids](auto&& change) {
    Patch patch = sample();
    change(patch);
    return ids.insert(patch.id()).second;
  };
  EXPECT_TRUE(changed([](Patch& p) { p.method = "ft"; }));
  EXPECT_TRUE(changed([](Patch& p) { p.recipe += " "; }));
  EXPECT_TRUE(changed([](Patch& p) { p.facts += " "; }));
  EXPECT_TRUE(changed([](Patch& p) { p.seed = 1; }));
  EXPECT_TRUE(changed([](Patch& p) { p.retune = "9"; }));
  EXPECT_TRUE(changed([](Patch& p) { p.graph_hash = ContentHash::of("other"); }));
  EXPECT_TRUE(changed([](Patch& p) { p.files.clear(); }));
  EXPECT_TRUE(changed([](Patch& p) { p.beneath.clear(); }));
  EXPECT_TRUE(changed([](Patch& p) { p.deltas.pop_back(); }));
  EXPECT_TRUE(changed([](Patch& p) { p.deltas[0].site = "elsewhere"; }));
  EXPECT_TRUE(changed([](Patch& p) { p.deltas[0].targets[1].slice->begin = 5; }));
  EXPECT_TRUE(changed([](Patch& p) { p.deltas[0].targets[0].transposed = true; }));
  EXPECT_TRUE(changed([](Patch& p) { p.deltas[1].values = DenseDelta{Tensor::of<float>({2}, {0.5, -0.25})}; }));
  EXPECT_TRUE(changed([](Patch& p) { p.inserts = {sample_insert()}; }));
  const auto with_insert = [&changed](auto&& change) {
    return changed([&](Patch& p) {
      p.inserts = {sample_insert()};
      change(p.inserts[0]);
    });
  };
  const auto with_body = [&with_insert](auto&& change) {
    return with_insert([&](GraphInsert& insert) {
      Graph body = *insert.body;
      change(body);
      insert.body = std::make_shared<const Graph>(std::move(body));
    });
  };
  EXPECT_TRUE(with_insert([](GraphInsert& i) { i.name = "two"; }));
  EXPECT_TRUE(with_insert([](GraphInsert& i) { i.file = "onnx/other.onnx"; }));
  EXPECT_TRUE(with_insert([](GraphInsert& i) { i.per_call = false; }));
  EXPECT_TRUE(with_insert([](GraphInsert& i) { i.replaces = {"/model/y"}; }));
  EXPECT_TRUE(with_insert([](GraphInsert& i) { i.own = {{"/model/x", "/model/x"}}; }));
  EXPECT_TRUE(with_body([](Graph& b) { b.node(0).op = "Sub"; }));
  EXPECT_TRUE(with_body([](Graph& b) { b.node(0).version = 14; }));
  EXPECT_TRUE(with_body([](Graph& b) { b.node(1).attributes.set("alpha", 0.2); }));
  EXPECT_TRUE(with_body([](Graph& b) { b.value(b.find("by")).constant = Tensor::of<float>({2}, {1, 3}); }));
  EXPECT_TRUE(with_body([](Graph& b) { b.rename(b.inputs[0], "/model/y"); }));
  EXPECT_TRUE(with_body([](Graph& b) { std::swap(b.node(0).inputs[0], b.node(0).inputs[1]); }));
  EXPECT_TRUE(changed([](Patch& p) { p.memory.erase("bytes"); }));
  EXPECT_TRUE(changed([](Patch& p) { p.notes["steps"] = {4}; }));
  EXPECT_FALSE(changed([](Patch&) {}));
}

TEST_F(PatchFile, RefusesOtherFilesAndVersions) {
  {
    Hdf5Writer writer(file("tensors.h5"));
    writer.write("x", Tensor::scalar(1.0f));
    writer.commit();
  }
  EXPECT_THAT(error_of(file("tensors.h5")), HasSubstr("is not a patch"));
  {
    Hdf5Writer writer(file("future.h5"));
    writer.attribute("", "format", "retune-patch");
    writer.attribute("", "version", kPatchVersion + 1);
    writer.commit();
  }
  EXPECT_THAT(error_of(file("future.h5")), HasSubstr("format version " + std::to_string(kPatchVersion + 1)));
  EXPECT_THAT(error_of("tests/golden/hdf5/external_storage.h5"), HasSubstr("external storage"));
  EXPECT_THAT(error_of(file("absent.h5")), HasSubstr("cannot open"));
}

// Every byte of the file that matters is covered by the id or by the format's own checks: a changed one is noticed, or
// is padding.
TEST_F(PatchFile, DamageIsNoticed) {
  const Patch patch = sample();
  patch.save(file("p.h5"));
  const std::string whole = bytes_of(file("p.h5"));
  int refused = 0;
  for (std::size_t at = 0; at < whole.size(); at += 41) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x5a);
    std::ofstream(file("damaged.h5"), std::ios::binary | std::ios::trunc) << damaged;
    try {
      EXPECT_EQ(Patch::load(file("damaged.h5")).id(), patch.id()) << "byte " << at;
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 50);
  for (std::size_t length = 0; length < whole.size(); length += 499) {
    std::ofstream(file("cut.h5"), std::ios::binary | std::ios::trunc) << whole.substr(0, length);
    EXPECT_NE(error_of(file("cut.h5")), "no error") << length;
  }
}

TEST_F(PatchFile, UnsoundPatchesAreNotSaved) {
  const auto refused = [this](auto&& change) {
    Patch patch = sample();
    change(patch);
    EXPECT_THROW(patch.save(file("bad.h5")), Error);
    return !std::filesystem::exists(file("bad.h5"));
  };
  EXPECT_TRUE(refused([](Patch& p) { p.method = ""; }));
  EXPECT_TRUE(refused([](Patch& p) { p.method = "two words"; }));
  EXPECT_TRUE(refused([](Patch& p) { p.recipe = "\xff"; }));
  EXPECT_TRUE(refused([](Patch& p) { p.facts = std::string("a\0b", 3); }));
  EXPECT_TRUE(refused([](Patch& p) { p.deltas[0].shape = {3, 2}; }));
  EXPECT_TRUE(refused([](Patch& p) { p.memory[""] = Tensor::scalar(1.0f); }));
}

TEST(PatchDescription, SaysWhatItDoes) {
  const Patch patch = sample();
  const std::string text = describe(patch, Detail::kSummary);
  EXPECT_THAT(text, HasSubstr(patch.id().hex()));
  EXPECT_THAT(text, HasSubstr("decoder.block.3.mlp.down [2, 3]: low-rank, rank 1, norm 3.16228"));
  EXPECT_THAT(text, HasSubstr("packed in onnx/decoder.onnx: bf16, transposed, axis 1 [4, 6)"));
  EXPECT_THAT(text, HasSubstr("loss: 3.5 ... 1e-300 (3 values)"));
  EXPECT_EQ(text.find("Katze"), std::string::npos);
  EXPECT_THAT(describe(patch, Detail::kFull), HasSubstr("Katze"));

  const auto json = nlohmann::json::parse(describe_json(patch, Detail::kFull));
  EXPECT_EQ(json.at("deltas").at(0).at("rank"), 1);
  EXPECT_EQ(json.at("deltas").at(1).at("rank"), nullptr);
  EXPECT_EQ(json.at("recipe").at("layer"), 3);
  EXPECT_EQ(json.at("notes").at("loss").size(), 3u);
}

TEST_F(PatchFile, PythonReadsIt) {
  if (const std::string reason = h5py_is_missing(); !reason.empty()) RETUNE_ORACLE_MISSING(reason);
  sample().save(file("p.h5"));
  std::ofstream(file("check.py"))
      << "import h5py, json\n"
      << "f = h5py.File('" << file("p.h5").string() << "')\n"
      << "about = json.loads(f['about'][()])\n"
      << "assert f.attrs['format'] == b'retune-patch' and f.attrs['version'] == 1\n"
      << "delta = about['deltas'][0]\n"
      << "assert delta['site'] == 'decoder.block.3.mlp.down' and delta['form'] == 'low-rank'\n"
      << "w = f['deltas/000000/u'][:] @ f['deltas/000000/v'][:].T\n"
      << "assert w.tolist() == [[1, 0, -1], [2, 0, -2]]\n"
      << "assert json.loads(f['recipe'][()])['layer'] == 3\n"
      << "assert f['notes/loss'][:].tolist() == [3.5, 0.1, 1e-300]\n";
  const std::string command = "/usr/bin/python3 " + file("check.py").string();
  EXPECT_EQ(std::system(command.c_str()), 0);  // NOLINT(concurrency-mt-unsafe): no other thread runs here
}

}  // namespace
}  // namespace retune
