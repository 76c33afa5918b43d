#include "weights/onnx_wire.h"

#include <gmock/gmock.h>

#include "tensor/rng.h"
#include "weights/onnx_test_models.h"

namespace retune {
namespace {

using namespace testing_models;
using testing::HasSubstr;

// Opens the bytes and reads every tensor; a user error is fine, anything else is not.
void open_or_refuse(const std::filesystem::path& file, const std::string& bytes) {
  std::filesystem::remove(file);  // rewriting in place would wait for the disk
  write_bytes(file, bytes);
  try {
    const OnnxModel model = OnnxModel::open(file);
    for (const std::string& name : model.tensor_names())
      for (const onnx::TensorProto* proto : model.tensors_named(name)) model.tensor(*proto);
  } catch (const Error& error) {
    ASSERT_EQ(error.code(), ErrorCode::kUser) << error.what();
    ASSERT_EQ(std::string(error.what()).find('\n'), std::string::npos);
  }
}

class Wire : public FolderTest {};

TEST_F(Wire, EveryTruncationIsAnErrorOrAModel) {
  for (const char* name : {"typed.onnx", "newer.onnx", "external.onnx"}) {
    const std::string bytes = read_bytes(kGolden / name);
    ASSERT_FALSE(bytes.empty());
    for (std::size_t length = 0; length < bytes.size(); ++length)
      open_or_refuse(folder_ / "cut.onnx", bytes.substr(0, length));
  }
}

TEST_F(Wire, EveryCorruptedByteIsAnErrorOrAModel) {
  Rng rng(1);
  for (const char* name : {"typed.onnx", "newer.onnx", "external.onnx"}) {
    const std::string bytes = read_bytes(kGolden / name);
    for (std::size_t at = 0; at < bytes.size(); ++at)
      for (const std::uint32_t value : {0u, 0xffu, rng.bits() & 0xffu}) {
        std::string corrupted = bytes;
        corrupted[at] = static_cast<char>(value);
        open_or_refuse(folder_ / "corrupted.onnx", corrupted);
      }
  }
}

// The check of the whole machine: any splices give what parsing, changing and serializing by protobuf gives.
TEST(WriteSpliced, CorrectsTheLengthsOfAllEnclosingMessages) {
  onnx::ModelProto model = small_model();
  onnx::GraphProto inner = model.graph();
  onnx::AttributeProto& attribute = *model.mutable_graph()->mutable_node(0)->add_attribute();
  attribute.set_name("body");
  *attribute.mutable_g() = inner;
  const std::string before = model.SerializeAsString();
  const OnnxLayout layout = scan_model(as_bytes(before), "test");
  ASSERT_EQ(layout.tensors.size(), 4u);

  for (const std::size_t size :
       {std::size_t{0}, std::size_t{12}, std::size_t{13}, std::size_t{200}, std::size_t{70000}}) {
    const std::string payload(size, 'p');
    std::vector<Splice> splices;
    for (const TensorRecord& record : layout.tensors) {
      splices.push_back({record.storage[0].begin, record.storage[0].size(), {}, record.frame});
      static const std::string kTag = "\x4a";
      static std::string length;
      length.clear();
      append_varint(length, size);
      splices.push_back({record.body.end, 0, {as_bytes(kTag), as_bytes(length), as_bytes(payload)}, record.frame});
    }
    std::string after;
    write_spliced(as_bytes(before), layout, splices,
                  [&](Bytes bytes) { after.append(reinterpret_cast<const char*>(bytes.data()), bytes.size()); });
    EXPECT_EQ(spliced_size(as_bytes(before), layout, splices), after.size());

    onnx::ModelProto expected = model;
    for (onnx::GraphProto* graph :
         {expected.mutable_graph(), expected.mutable_graph()->mutable_node(0)->mutable_attribute(0)->mutable_g()})
      for (onnx::TensorProto& tensor : *graph->mutable_initializer()) tensor.set_raw_data(payload);
    onnx::ModelProto got;
    ASSERT_TRUE(got.ParseFromString(after));
    EXPECT_EQ(got.SerializeAsString(), expected.SerializeAsString());
  }
}

TEST(WriteSpliced, WithoutSplicesGivesTheVeryBytes) {
  const std::string bytes = read_bytes(kGolden / "newer.onnx");
  std::string after;
  write_spliced(as_bytes(bytes), scan_model(as_bytes(bytes), "test"), {},
                [&](Bytes part) { after.append(reinterpret_cast<const char*>(part.data()), part.size()); });
  EXPECT_EQ(after, bytes);
}

std::string refusal(const std::string& bytes) {
  return error_of([&] { scan_model(as_bytes(bytes), "hostile.onnx"); });
}

std::string field(std::uint32_t number, const std::string& content) {
  std::string result;
  append_varint(result, number << 3 | 2);
  append_varint(result, content.size());
  return result + content;
}

TEST(ScanModel, RefusesDeepNesting) {
  std::string graph;
  for (int i = 0; i < 100; ++i) graph = field(1, field(5, field(6, graph)));
  EXPECT_THAT(refusal(field(7, graph)), HasSubstr("deeper than"));
  std::string type;
  for (int i = 0; i < 100; ++i) type = field(4, field(1, type));
  EXPECT_THAT(refusal(field(7, field(11, field(2, type)))), HasSubstr("deeper than"));
}

TEST(ScanModel, RefusesFloodsOfTensorsAndFields) {
  std::string tensors, nodes, values;
  for (std::uint64_t i = 0; i <= kMaxTensors; ++i) tensors += std::string("\x2a\x00", 2);
  EXPECT_THAT(refusal(field(7, tensors)), HasSubstr("tensors"));
  // 32 MB of empty nodes became 2.4 GB once they were parsed.
  nodes.reserve(2 * kMaxNodeMessages + 2);
  for (std::uint64_t i = 0; i <= kMaxNodeMessages; ++i) nodes += std::string("\x0a\x00", 2);
  EXPECT_THAT(refusal(field(7, nodes)), HasSubstr("nodes"));
  values.reserve(2 * kMaxFields + 2);
  for (std::uint64_t i = 0; i <= kMaxFields; ++i) values += std::string("\x6a\x00", 2);
  EXPECT_THAT(refusal(field(7, values)), HasSubstr("fields"));
}

TEST(ScanModel, RefusesASkeletonThatIsTooLarge) {
  std::string bytes = "\x32";  // doc_string
  append_varint(bytes, kMaxSkeletonBytes);
  bytes.resize(bytes.size() + kMaxSkeletonBytes, 'd');
  bytes += field(7, "");
  EXPECT_THAT(refusal(bytes), HasSubstr("besides its tensors"));
}

TEST(ScanModel, RefusesASingularMessageGivenTwice) {
  EXPECT_THAT(refusal(field(7, "") + field(7, "")), HasSubstr("twice"));
  EXPECT_THAT(refusal(field(7, field(1, field(5, field(5, "") + field(5, ""))))), HasSubstr("twice"));
}

TEST(ScanModel, RefusesLengthsAndNumbersThatPointOutside) {
  EXPECT_THAT(refusal("\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), HasSubstr("longer than what is left"));
  EXPECT_THAT(refusal("\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), HasSubstr("more than 10 bytes"));
  EXPECT_THAT(refusal(std::string("\x3b\x00", 2)), HasSubstr("wire type"));
  EXPECT_THAT(refusal(std::string("\x00\x00", 2)), HasSubstr("field number"));
  EXPECT_THAT(refusal("\x08"), HasSubstr("does not end"));
}

}  // namespace
}  // namespace retune
