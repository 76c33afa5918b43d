#include "weights/onnx_export.h"

#include <gmock/gmock.h>
#include <sys/resource.h>

#include <csignal>

#include "weights/export_proof.h"
#include "weights/onnx_contents.h"
#include "weights/onnx_test_models.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using namespace testing_models;
using testing::ElementsAre;
using testing::HasSubstr;

class OnnxExport : public FolderTest {
 protected:
  // A copy of the golden files in source/, and a place to write to.
  OnnxModel golden(const std::string& file) {
    fs::create_directories(folder_ / "source");
    fs::create_directories(folder_ / "out");
    fs::copy(kGolden, folder_ / "source", fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    return OnnxModel::open(folder_ / "source" / file);
  }
  OnnxModel from(const onnx::ModelProto& model) {
    fs::create_directories(folder_ / "source");
    fs::create_directories(folder_ / "out");
    write_bytes(folder_ / "source" / "m.onnx", model.SerializeAsString());
    return OnnxModel::open(folder_ / "source" / "m.onnx");
  }
  fs::path out(const std::string& file) const { return folder_ / "out" / file; }
  std::vector<std::string> written() const {
    std::vector<std::string> names;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder_ / "out"))
      names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }
};

// Every byte flipped: other values, the same types and shapes, nothing that a bool or a NaN could hide.
Tensor changed(const Tensor& tensor) {
  Tensor result = tensor.copy();
  for (std::size_t i = 0; i < result.bytes(); ++i)
    result.mutable_raw()[i] ^= tensor.dtype() == DType::kBool ? std::byte{1} : std::byte{0x55};
  return result;
}

Tensor stored(const OnnxModel& model, const std::string& name) {
  return model.tensor(*model.tensors_named(name).front());
}

bool computable(const OnnxModel& model, const std::string& name) {
  const std::int32_t type = model.tensors_named(name).front()->data_type();
  return type != onnx::TensorProto::STRING && type <= onnx::TensorProto::BFLOAT16;
}

TEST_F(OnnxExport, WithoutEditsGivesTheVeryBytesOfEveryFile) {
  for (const char* file : {"typed.onnx", "external.onnx", "newer.onnx"}) {
    write_edited(golden(file), {}, out(file));
    EXPECT_EQ(read_bytes(out(file)), read_bytes(kGolden / file)) << file;
  }
  EXPECT_EQ(read_bytes(out("external.onnx_data")), read_bytes(kGolden / "external.onnx_data"));
  EXPECT_THAT(written(),
              ElementsAre("external.onnx", "external.onnx_data", "external.onnx_data_1", "newer.onnx", "typed.onnx"));
}

TEST_F(OnnxExport, EveryStoredTypeAndPlaceTakesAnEditAlone) {
  for (const char* file : {"typed.onnx", "newer.onnx"}) {
    const OnnxModel source = golden(file);
    for (const std::string& name : source.tensor_names()) {
      if (!computable(source, name)) continue;
      const TensorEdits edits{{name, changed(stored(source, name))}};
      const fs::path target = out(name + ".onnx");
      write_edited(source, edits, target);
      const ExportProof proof = prove_export(source, target, edits, ProofMode::kFull);
      EXPECT_EQ(proof.tensors_edited, source.tensors_named(name).size()) << name;
      EXPECT_EQ(proof.edited[0].before != proof.edited[0].after, edits.at(name).bytes() != 0) << name;
      // And back: the way there and the way back give the bytes that were.
      const OnnxModel edited = OnnxModel::open(target);
      write_edited(edited, {{name, stored(source, name)}}, out(name + "_back.onnx"));
      EXPECT_EQ(stored(OnnxModel::open(out(name + "_back.onnx")), name).bytes(), stored(source, name).bytes());
      if (std::string_view(file) == "typed.onnx") {
        EXPECT_EQ(read_bytes(out(name + "_back.onnx")), read_bytes(kGolden / file)) << name;
      }
    }
  }
}

// Protobuf's own reading of the result: everything equal but the one field, unknown fields included.
TEST_F(OnnxExport, OnlyThePayloadChangesInProtobufsEyes) {
  const OnnxModel source = golden("newer.onnx");
  write_edited(source, {{"c", Tensor::of<std::int64_t>({3}, {-1, 1LL << 60, 0})}}, out("m.onnx"));
  onnx::ModelProto before, after;
  ASSERT_TRUE(before.ParseFromString(read_bytes(kGolden / "newer.onnx")));
  ASSERT_TRUE(after.ParseFromString(read_bytes(out("m.onnx"))));
  onnx::TensorProto& value = *after.mutable_graph()->mutable_node(0)->mutable_attribute(0)->mutable_t();
  EXPECT_EQ(value.int64_data(1), 1LL << 60);
  for (int i = 0; i < 3; ++i) value.set_int64_data(i, before.graph().node(0).attribute(0).t().int64_data(i));
  EXPECT_EQ(after.SerializeAsString(), before.SerializeAsString());
}

TEST_F(OnnxExport, OneNameInBothBranchesIsEditedInBoth) {
  const OnnxModel source = golden("newer.onnx");
  write_edited(source, {{"shared", Tensor::of<float>({4}, {5, 6, 7, 8})}}, out("m.onnx"));
  const OnnxModel edited = OnnxModel::open(out("m.onnx"));
  ASSERT_EQ(edited.tensors_named("shared").size(), 2u);
  for (const onnx::TensorProto* proto : edited.tensors_named("shared"))
    EXPECT_EQ(edited.tensor(*proto).data<float>()[3], 8.0f);
}

TEST_F(OnnxExport, ExternalFilesKeepNamesAndOffsetsAndLoseStaleChecksumsOnly) {
  const OnnxModel source = golden("external.onnx");
  const TensorEdits edits{{"b", Tensor::of<std::int64_t>({2}, {7, -7})}};
  write_edited(source, edits, out("renamed.onnx"));
  EXPECT_THAT(written(), ElementsAre("external.onnx_data", "external.onnx_data_1", "renamed.onnx"));
  const std::string before = read_bytes(kGolden / "external.onnx_data"), after = read_bytes(out("external.onnx_data"));
  ASSERT_EQ(after.size(), before.size());
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (i < 4121 || i >= 4137) {
      ASSERT_EQ(after[i], before[i]) << i;
    }
  }

  onnx::ModelProto model;
  ASSERT_TRUE(model.ParseFromString(read_bytes(out("renamed.onnx"))));
  const auto keys = [](const onnx::TensorProto& tensor) {
    std::vector<std::string> result;
    for (const auto& entry : tensor.external_data()) result.push_back(entry.key());
    return result;
  };
  EXPECT_THAT(keys(model.graph().initializer(0)), ElementsAre("location", "offset", "length"));
  EXPECT_THAT(keys(model.graph().initializer(1)), ElementsAre("location", "checksum"));  // its file did not change
  EXPECT_THAT(keys(model.graph().initializer(2)), ElementsAre("location", "offset", "length", "later_key"));
  EXPECT_THAT(keys(model.graph().node(0).attribute(0).t()), ElementsAre("location", "offset", "length"));

  const ExportProof proof = prove_export(source, out("renamed.onnx"), edits, ProofMode::kFull);
  EXPECT_THAT(proof.files, ElementsAre(out("renamed.onnx"), out("external.onnx_data"), out("external.onnx_data_1")));
  EXPECT_EQ(proof.tensors_edited, 1u);
  EXPECT_EQ(proof.tensors_untouched, 4u);
  EXPECT_EQ(OnnxModel::open(out("renamed.onnx")).graph_hash(), source.graph_hash());
}

TEST_F(OnnxExport, TensorsOnTheSameBytesMustBeEditedAlike) {
  const OnnxModel source = golden("external.onnx");
  EXPECT_THAT(error_of([&] {
                write_edited(source, {{"first_row", Tensor::of<float>({3}, {9, 9, 9})}}, out("m.onnx"));
              }),
              HasSubstr("same bytes"));
  EXPECT_TRUE(written().empty());

  onnx::ModelProto tied = small_model();
  write_bytes(folder_ / "source" / "data", std::string(12, '\0'));
  tied.mutable_graph()->mutable_initializer(1)->set_dims(0, 3);
  for (onnx::TensorProto& tensor : *tied.mutable_graph()->mutable_initializer())
    set_external(tensor, {{"location", "data"}});
  const OnnxModel model = from(tied);
  const Tensor value = Tensor::of<float>({3}, {1, 2, 3});
  EXPECT_THAT(error_of([&] {
                write_edited(model, {{"w", value}, {"v", changed(value)}}, out("m.onnx"));
              }),
              HasSubstr("same bytes"));
  write_edited(model, {{"w", value}, {"v", value.copy()}}, out("m.onnx"));
  EXPECT_TRUE(identical(stored(OnnxModel::open(out("m.onnx")), "v"), value));
}

TEST_F(OnnxExport, RefusesEditsThatDoNotFit) {
  const OnnxModel source = from(small_model());
  EXPECT_THAT(error_of([&] {
                write_edited(source, {{"w", Tensor::of<float>({1}, {1})}}, out("m.onnx"));
              }),
              HasSubstr("'w'"));
  EXPECT_THAT(error_of([&] {
                write_edited(source, {{"w", Tensor::of<double>({3}, {1, 2, 3})}}, out("m.onnx"));
              }),
              HasSubstr("f64"));
  EXPECT_THAT(error_of([&] {
                write_edited(source, {{"x", Tensor::of<float>({3}, {1, 2, 3})}}, out("m.onnx"));
              }),
              HasSubstr("'x'"));
  EXPECT_TRUE(written().empty());
}

TEST_F(OnnxExport, RefusesToWriteOverTheSourceOrAnythingElse) {
  const OnnxModel source = golden("external.onnx");
  EXPECT_THAT(error_of([&] { write_edited(source, {}, folder_ / "source" / "external.onnx"); }),
              HasSubstr("being read"));
  EXPECT_THAT(error_of([&] { write_edited(source, {}, folder_ / "source" / "other.onnx"); }), HasSubstr("being read"));
  fs::create_symlink(folder_ / "source" / "external.onnx", out("link.onnx"));
  EXPECT_THAT(error_of([&] { write_edited(source, {}, out("link.onnx")); }), HasSubstr("being read"));
  write_bytes(out("external.onnx_data_1"), "somebody's");
  EXPECT_THAT(error_of([&] { write_edited(source, {}, out("m.onnx")); }), HasSubstr("exists"));
  EXPECT_EQ(read_bytes(out("external.onnx_data_1")), "somebody's");
  EXPECT_EQ(read_bytes(folder_ / "source" / "external.onnx"), read_bytes(kGolden / "external.onnx"));
}

// A file size limit stands in for the full disk.
TEST_F(OnnxExport, AWriteThatFailsHalfWayLeavesNoFile) {
  onnx::ModelProto model = small_model();
  add_raw(*model.mutable_graph(), "large", std::vector<float>(1 << 20));
  const OnnxModel source = from(model);
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small{1 << 20, old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string message = error_of([&] { write_edited(source, {}, out("m.onnx")); }, ErrorCode::kFailure);
  setrlimit(RLIMIT_FSIZE, &old);
  EXPECT_THAT(message, HasSubstr("m.onnx"));
  EXPECT_TRUE(written().empty());
}

}  // namespace
}  // namespace retune
