#include "weights/onnx_writer.h"

#include <gmock/gmock.h>

#include "weights/onnx_test_models.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using namespace testing_models;
using testing::HasSubstr;

class OnnxWriter : public FolderTest {};

onnx::ModelProto without_initializers() {
  onnx::ModelProto model = small_model();
  model.mutable_graph()->clear_initializer();
  return model;
}

TEST_F(OnnxWriter, WritesWhatProtobufWouldWrite) {
  const std::vector<std::pair<std::string, Tensor>> initializers{{"w", Tensor::of<float>({3}, {1, 2, 3})},
                                                                 {"v", Tensor::of<float>({1}, {4})}};
  write_onnx(without_initializers(), initializers, folder_ / "m.onnx");
  EXPECT_EQ(read_bytes(folder_ / "m.onnx"), small_model().SerializeAsString());
}

TEST_F(OnnxWriter, EveryTypeReadsBack) {
  std::vector<std::pair<std::string, Tensor>> initializers;
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kF16, DType::kBF16, DType::kI8, DType::kI16, DType::kI32,
                            DType::kI64, DType::kU8, DType::kU16, DType::kU32, DType::kU64, DType::kBool})
    initializers.emplace_back(std::string(dtype_name(dtype)), Tensor::of<float>({2, 2}, {0, 1, 2, 3}).cast(dtype));
  initializers.emplace_back("scalar", Tensor::scalar(2.5f));
  initializers.emplace_back("none", Tensor::zeros(DType::kF32, {0, 2}));
  for (const std::uint64_t external_from : {std::uint64_t{0}, std::uint64_t{8}, UINT64_MAX}) {
    write_onnx(without_initializers(), initializers, folder_ / "m.onnx", {.external_from = external_from});
    const OnnxModel model = OnnxModel::open(folder_ / "m.onnx");
    for (const auto& [name, tensor] : initializers)
      EXPECT_TRUE(identical(model.tensor(*model.tensors_named(name).front()), tensor)) << name;
  }
}

TEST_F(OnnxWriter, LargeTensorsGoBesideTheFileAlignedToPages) {
  const std::vector<std::pair<std::string, Tensor>> initializers{
      {"a", Tensor::of<float>({3}, {1, 2, 3})}, {"small", Tensor::scalar(7.0f)}, {"b", Tensor::of<float>({2}, {4, 5})}};
  write_onnx(without_initializers(), initializers, folder_ / "m.onnx", {.external_from = 8});
  EXPECT_EQ(fs::file_size(folder_ / "m.onnx_data"), 4096u + 8);
  onnx::ModelProto model;
  ASSERT_TRUE(model.ParseFromString(read_bytes(folder_ / "m.onnx")));
  const onnx::TensorProto& b = model.graph().initializer(2);
  EXPECT_EQ(b.data_location(), onnx::TensorProto::EXTERNAL);
  EXPECT_EQ(b.external_data(0).value(), "m.onnx_data");
  EXPECT_EQ(b.external_data(1).value(), "4096");
  EXPECT_EQ(b.external_data(2).value(), "8");
  EXPECT_EQ(model.graph().initializer(1).raw_data().size(), 4u);
}

TEST_F(OnnxWriter, ASkeletonGetsItsPayloadsBackWhateverTheirPlaceAndType) {
  for (const char* file : {"typed.onnx", "external.onnx", "newer.onnx"}) {
    const OnnxModel source = OnnxModel::open(kGolden / file);
    onnx::ModelProto model = source.skeleton();
    model.mutable_graph()->mutable_node(0)->set_doc_string("changed");
    for (const std::uint64_t external_from : {std::uint64_t{0}, UINT64_MAX}) {
      write_onnx(model, {{"added", Tensor::scalar(1.0f)}}, folder_ / "m.onnx",
                 {.external_from = external_from, .payloads = &source});
      const OnnxModel copy = OnnxModel::open(folder_ / "m.onnx");
      EXPECT_EQ(copy.tensor(*copy.tensors_named("added").front()).data<float>()[0], 1.0f);
      EXPECT_EQ(copy.tensor_names().size(), source.tensor_names().size() + 1);
      for (const std::string& name : source.tensor_names()) {
        const onnx::TensorProto& before = *source.tensors_named(name).front();
        if (before.data_type() == onnx::TensorProto::STRING || before.data_type() > onnx::TensorProto::BFLOAT16)
          continue;
        EXPECT_TRUE(identical(copy.tensor(*copy.tensors_named(name).front()), source.tensor(before))) << name;
      }
    }
  }
  onnx::ModelProto opaque;
  const OnnxModel source = OnnxModel::open(kGolden / "typed.onnx");
  write_onnx(source.skeleton(), {}, folder_ / "opaque.onnx", {.payloads = &source});
  ASSERT_TRUE(opaque.ParseFromString(read_bytes(folder_ / "opaque.onnx")));
  EXPECT_EQ(opaque.SerializeAsString(), read_bytes(kGolden / "typed.onnx"));
}

TEST_F(OnnxWriter, RefusesTwoInitializersOfOneName) {
  const Tensor one = Tensor::scalar(1.0f);
  EXPECT_THAT(error_of([&] { write_onnx(small_model(), {{"w", one}}, folder_ / "m.onnx"); }), HasSubstr("'w'"));
  EXPECT_THAT(error_of([&] {
                write_onnx(without_initializers(), {{"x", one}, {"x", one}}, folder_ / "m.onnx");
              }),
              HasSubstr("'x'"));
  EXPECT_TRUE(fs::is_empty(folder_));
}

// The tensors overlap in memory: 3 GiB are asked for, a page is held.
TEST_F(OnnxWriter, RefusesAFileThatProtobufCouldNotRead) {
  const auto page = std::make_shared<std::vector<std::byte>>(64);
  const Tensor huge = Tensor::view(DType::kU8, {3LL << 30}, page->data(), page);
  EXPECT_THAT(error_of([&] {
                write_onnx(without_initializers(), {{"huge", huge}}, folder_ / "m.onnx");
              }),
              HasSubstr("external data"));
  EXPECT_TRUE(fs::is_empty(folder_));
}

}  // namespace
}  // namespace retune
