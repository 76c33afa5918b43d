#include "weights/onnx_model.h"

#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <sstream>
#include <thread>

#include "weights/onnx_test_models.h"
#include "weights/onnx_wire.h"

namespace retune {
namespace {

using namespace testing_models;
using testing::HasSubstr;

class OnnxModelFile : public FolderTest {
 protected:
  OnnxModel open(const onnx::ModelProto& model) {
    write_bytes(folder_ / "m.onnx", model.SerializeAsString());
    return OnnxModel::open(folder_ / "m.onnx");
  }
  std::string refusal(const onnx::ModelProto& model) {
    return error_of([&] { open(model); });
  }
};

std::string hex(const Tensor& tensor) {
  std::string result;
  for (std::size_t i = 0; i < tensor.bytes(); ++i) result += fmt::format("{:02x}", static_cast<int>(tensor.raw()[i]));
  return result.empty() ? "-" : result;
}

// What Python's onnx wrote is in expected.txt; see the folder's make.py.
TEST(OnnxModel, ReadsEveryTypeAndPlaceAsPythonWroteIt) {
  std::ifstream expected(kGolden / "expected.txt");
  std::string file, name, dtype, dims, bytes;
  int count = 0;
  while (expected >> file >> name >> dtype >> dims >> bytes) {
    const OnnxModel model = OnnxModel::open(kGolden / file);
    for (const onnx::TensorProto* proto : model.tensors_named(name)) {
      const Tensor tensor = model.tensor(*proto);
      EXPECT_EQ(dtype_name(tensor.dtype()), dtype) << name;
      EXPECT_EQ(hex(tensor), bytes) << name;
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(tensor.raw()) % dtype_size(tensor.dtype()), 0u) << name;
      EXPECT_EQ(dims == "-" ? "" : dims, fmt::format("{}", fmt::join(tensor.shape().extents(), "x"))) << name;
    }
    ++count;
  }
  EXPECT_GE(count, 24);
}

TEST(OnnxModel, AlignedRawBytesAreAViewAndOthersACopyMadeOnce) {
  const OnnxModel model = OnnxModel::open(kGolden / "external.onnx");
  const onnx::TensorProto& aligned = *model.tensors_named("a").front();
  const onnx::TensorProto& overlapping = *model.tensors_named("first_row").front();
  EXPECT_EQ(model.tensor(aligned).raw(), model.tensor(overlapping).raw());  // one mapping of one range
  const onnx::TensorProto& misaligned = *model.tensors_named("b").front();
  EXPECT_EQ(model.tensor(misaligned).raw(), model.tensor(misaligned).raw());
}

TEST(OnnxModel, ATensorOutlivesItsModel) {
  Tensor tensor;
  {
    const OnnxModel model = OnnxModel::open(kGolden / "external.onnx");
    tensor = model.tensor(*model.tensors_named("a").front());
  }
  EXPECT_EQ(tensor.data<float>()[5], 5.0f);
}

TEST(OnnxModel, SkeletonHoldsEverythingButPayloads) {
  const OnnxModel model = OnnxModel::open(kGolden / "newer.onnx");
  const onnx::ModelProto& skeleton = model.skeleton();
  EXPECT_EQ(skeleton.ir_version(), 13);
  EXPECT_EQ(skeleton.opset_import(0).version(), 25);
  EXPECT_EQ(skeleton.metadata_props(0).value(), "somebody");
  EXPECT_EQ(skeleton.graph().node(0).op_type(), "Constant");
  EXPECT_EQ(skeleton.graph().node(0).unknown_fields().field(0).number(), 9);  // metadata_props
  EXPECT_EQ(skeleton.graph().node(1).attribute_size(), 2);
  const onnx::TensorProto& weight = skeleton.graph().initializer(0);
  EXPECT_EQ(weight.name(), "w");
  EXPECT_EQ(weight.dims(0), 4);
  EXPECT_EQ(weight.float_data_size(), 0);
  // A function's tensors and the parts of sparse ones are reached as well.
  EXPECT_EQ(model.tensor(skeleton.functions(0).node(0).attribute(0).t()).to_i64(),
            (std::vector<std::int64_t>{1, -2, 300}));
  EXPECT_EQ(model.tensor(skeleton.graph().sparse_initializer(0).values()).data<float>()[0], 9.0f);
}

TEST(OnnxModel, NamesEachTensorOfTheNameInFileOrder) {
  const OnnxModel model = OnnxModel::open(kGolden / "newer.onnx");
  EXPECT_EQ(model.tensor_names(), (std::vector<std::string>{"c", "shared", "w", "cond"}));
  EXPECT_EQ(model.tensors_named("shared").size(), 2u);
  EXPECT_FALSE(model.has_tensor("sparse"));
  EXPECT_THAT(error_of([&] { model.tensors_named("nobody"); }), HasSubstr("'nobody'"));
}

TEST(OnnxModel, KeepsTypesItCannotComputeWith) {
  const OnnxModel model = OnnxModel::open(kGolden / "typed.onnx");
  const std::string message = error_of([&] { model.tensor(*model.tensors_named("text").front()); });
  EXPECT_THAT(message, HasSubstr("text"));
  EXPECT_THAT(message, HasSubstr("string"));
}

// 4-bit integers two a byte, the first in the low half: the bytes of the file.
TEST(OnnxModel, KeepsNarrowTypesAsTheyAreStored) {
  const OnnxModel model = OnnxModel::open(kGolden / "typed.onnx");
  const Tensor int4 = model.tensor(*model.tensors_named("int4").front());
  EXPECT_EQ(int4.dtype(), DType::kI4);
  EXPECT_EQ(int4.numel(), 3);
  ASSERT_EQ(int4.bytes(), 2U);
  EXPECT_EQ(std::memcmp(int4.raw(), "\x21\x03", 2), 0);
  const Tensor fp8 = model.tensor(*model.tensors_named("fp8").front());
  EXPECT_EQ(fp8.dtype(), DType::kF8E4M3FN);
  ASSERT_EQ(fp8.bytes(), 2U);
  EXPECT_EQ(std::memcmp(fp8.raw(), "\x38\x40", 2), 0);
}

TEST_F(OnnxModelFile, GraphHashIgnoresWeightsAndTheirStorageAndNothingElse) {
  const onnx::ModelProto base = small_model();
  const ContentHash hash = open(base).graph_hash();

  onnx::ModelProto stripped = base;  // the definition, by protobuf's own means
  for (onnx::TensorProto& tensor : *stripped.mutable_graph()->mutable_initializer()) tensor.clear_raw_data();
  EXPECT_EQ(hash, ContentHash::of(stripped.SerializeAsString()));

  onnx::ModelProto other = base;
  other.mutable_graph()->mutable_initializer(0)->mutable_raw_data()->at(2) = 'x';
  EXPECT_EQ(open(other).graph_hash(), hash);
  write_bytes(folder_ / "data", std::string(12, '\1'));
  set_external(*other.mutable_graph()->mutable_initializer(0), {{"location", "data"}});
  EXPECT_EQ(open(other).graph_hash(), hash);
  other.mutable_graph()->mutable_initializer(1)->clear_raw_data();
  other.mutable_graph()->mutable_initializer(1)->add_float_data(1);
  EXPECT_EQ(open(other).graph_hash(), hash);

  other.mutable_graph()->mutable_node(0)->set_name("named");
  EXPECT_NE(open(other).graph_hash(), hash);
  other = base;
  other.set_doc_string("documented");
  EXPECT_NE(open(other).graph_hash(), hash);
}

TEST_F(OnnxModelFile, ManyThreadsReadTheSameTensors) {
  const OnnxModel model = open(small_model());
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int round = 0; round < 200; ++round) {
        const onnx::TensorProto& proto = *model.tensors_named("w").front();
        EXPECT_EQ(model.tensor(proto).data<float>()[2], 3.0f);
        EXPECT_EQ(model.tensor_hash(proto), model.tensor_hash(proto));
      }
    });
  for (std::thread& thread : threads) thread.join();
}

TEST_F(OnnxModelFile, RefusesWhatIsNoModel) {
  EXPECT_THAT(error_of([&] { OnnxModel::open(folder_ / "none.onnx"); }), HasSubstr("none.onnx"));
  EXPECT_THAT(error_of([&] { OnnxModel::open(folder_); }), HasSubstr("not a regular file"));
  const auto of_bytes = [&](const std::string& bytes) {
    write_bytes(folder_ / "m.onnx", bytes);
    return error_of([&] { OnnxModel::open(folder_ / "m.onnx"); });
  };
  EXPECT_THAT(of_bytes(""), HasSubstr("empty"));
  EXPECT_THAT(of_bytes("\x89PNG\r\n\x1a\n and more of the kind"), HasSubstr("not an ONNX"));
  EXPECT_THAT(of_bytes("{\"model_type\": \"ultravox\"}"), HasSubstr("not an ONNX"));
  EXPECT_THAT(of_bytes("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), HasSubstr("git lfs pull"));
  EXPECT_THAT(of_bytes("\x08\x08"), HasSubstr("no graph"));
  EXPECT_THAT(of_bytes(std::string(1 << 20, '\0')), HasSubstr("not an ONNX"));
}

TEST_F(OnnxModelFile, OpeningANamedPipeDoesNotHang) {
  ASSERT_EQ(mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(error_of([&] { OnnxModel::open(folder_ / "pipe"); }), HasSubstr("not a regular file"));
}

TEST_F(OnnxModelFile, RefusesTensorsWhosePayloadDoesNotFit) {
  const auto with = [&](const std::function<void(onnx::TensorProto&)>& change) {
    onnx::ModelProto model = small_model();
    change(*model.mutable_graph()->mutable_initializer(0));
    return refusal(model);
  };
  EXPECT_THAT(with([](onnx::TensorProto& t) { t.set_dims(0, 4); }), HasSubstr("tensor 'w'"));
  EXPECT_THAT(with([](onnx::TensorProto& t) { t.set_dims(0, 4); }), HasSubstr("takes 16 bytes, got 12"));
  EXPECT_THAT(with([](onnx::TensorProto& t) { t.set_dims(0, -3); }), HasSubstr("negative"));
  EXPECT_THAT(with([](onnx::TensorProto& t) { t.set_dims(0, INT64_MAX); }), HasSubstr("tensor 'w'"));
  EXPECT_THAT(with([](onnx::TensorProto& t) {
                t.set_dims(0, 1LL << 40);
                t.add_dims(1LL << 40);
              }),
              HasSubstr("63 bits"));
  EXPECT_THAT(with([](onnx::TensorProto& t) { t.clear_raw_data(); }), HasSubstr("got 0"));
  EXPECT_THAT(with([](onnx::TensorProto& t) { t.add_float_data(1); }), HasSubstr("two payloads"));
  EXPECT_THAT(with([](onnx::TensorProto& t) {
                t.set_data_type(7);
                t.clear_raw_data();
                t.add_int32_data(1);
              }),
              HasSubstr("field 5"));
  EXPECT_THAT(with([](onnx::TensorProto& t) { t.set_data_type(22); }), HasSubstr("takes 2 bytes"));
  EXPECT_THAT(with([](onnx::TensorProto& t) {
                for (int i = 0; i < 70; ++i) t.add_dims(1);
              }),
              HasSubstr("64 dims"));
  EXPECT_THAT(with([](onnx::TensorProto& t) {
                t.set_name("a\nb");
                t.set_dims(0, 4);
              }),
              HasSubstr("'a?b'"));
}

TEST_F(OnnxModelFile, RefusesTypedValuesThatDoNotFitWhenTheTensorIsRead) {
  const auto with = [&](std::int32_t type, const std::vector<std::int32_t>& values, std::int64_t extent) {
    onnx::ModelProto proto = small_model();
    onnx::TensorProto& tensor = *proto.mutable_graph()->mutable_initializer(0);
    tensor.clear_raw_data();
    tensor.set_data_type(type);
    tensor.set_dims(0, extent);
    for (const std::int32_t value : values) tensor.add_int32_data(value);
    return error_of([&] {
      const OnnxModel model = open(proto);
      model.tensor(model.skeleton().graph().initializer(0));
    });
  };
  EXPECT_THAT(with(onnx::TensorProto::INT8, {128}, 1), HasSubstr("128 is out of range"));
  EXPECT_THAT(with(onnx::TensorProto::UINT8, {-1}, 1), HasSubstr("out of range"));
  EXPECT_THAT(with(onnx::TensorProto::BOOL, {2}, 1), HasSubstr("out of range"));
  EXPECT_THAT(with(onnx::TensorProto::FLOAT16, {65536}, 1), HasSubstr("out of range"));
  EXPECT_THAT(with(onnx::TensorProto::INT32, {1, 2}, 3), HasSubstr("fewer"));
  EXPECT_THAT(with(onnx::TensorProto::INT32, {1, 2, 300}, 2), HasSubstr("more"));
  // Five bytes that claim to be 2^50 values: refused before anything of that size is allocated.
  EXPECT_THAT(with(onnx::TensorProto::INT32, {1, 2, 3, 4, 5}, 1LL << 50), HasSubstr("fewer"));
}

TEST_F(OnnxModelFile, RefusesARawBoolThatIsNeitherTrueNorFalse) {
  onnx::ModelProto proto = small_model();
  proto.mutable_graph()->mutable_initializer(0)->set_data_type(onnx::TensorProto::BOOL);
  proto.mutable_graph()->mutable_initializer(0)->set_raw_data("\0\1\2", 3);
  const OnnxModel model = open(proto);
  EXPECT_THAT(error_of([&] { model.tensor(model.skeleton().graph().initializer(0)); }), HasSubstr("bool is 2"));
}

TEST_F(OnnxModelFile, AForeignPayloadEntryInAFileMeansNothing) {
  onnx::ModelProto proto = small_model();
  onnx::StringStringEntryProto& entry = *proto.mutable_graph()->mutable_initializer(0)->add_external_data();
  entry.set_key("retune.payload");
  entry.set_value("1");
  const OnnxModel model = open(proto);
  EXPECT_EQ(model.tensor(model.skeleton().graph().initializer(0)).data<float>()[1], 2.0f);
}

TEST_F(OnnxModelFile, AMessageOfAnotherModelIsAProgrammersError) {
  const OnnxModel model = open(small_model());
  EXPECT_THROW(model.tensor(small_model().graph().initializer(0)), std::logic_error);
}

TEST_F(OnnxModelFile, ReadsASingleTensorFile) {
  write_bytes(folder_ / "input_0.pb", small_model().graph().initializer(0).SerializeAsString());
  EXPECT_EQ(read_tensor_file(folder_ / "input_0.pb").data<float>()[2], 3.0f);
  onnx::TensorProto external = small_model().graph().initializer(0);
  set_external(external, {{"location", "input_0.pb"}});
  write_bytes(folder_ / "external.pb", external.SerializeAsString());
  EXPECT_THAT(error_of([&] { read_tensor_file(folder_ / "external.pb"); }), HasSubstr("another file"));
  write_bytes(folder_ / "bad.pb", "\x09");
  error_of([&] { read_tensor_file(folder_ / "bad.pb"); });
}

}  // namespace
}  // namespace retune
