// Models whose weights lie in files beside the graph, in one or several, some of them beyond 2 GiB. The large ones are
// nearly all holes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <fstream>

#include "lalm/answer.h"
#include "tensor/error.h"
#include "tests/tiny_bundle.h"
#include "weights/onnx_export.h"

namespace retune {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kBeyond2GiB = (std::uint64_t{1} << 31) + 4096;
constexpr std::int64_t kRoomOnDisk = 64 << 20;
constexpr const char* kDecoder = "decoder_model_merged.onnx";
constexpr const char* kSite = "decoder.block.2.mlp.down";  // in the second data file

std::int64_t bytes_on_disk(const fs::path& file) {
  struct stat status {};
  stat(file.c_str(), &status);
  return std::int64_t{status.st_blocks} * 512;
}

void write_at(const fs::path& file, std::uint64_t offset, const std::string& bytes) {
  if (!fs::exists(file)) std::ofstream(file).flush();
  std::fstream stream(file, std::ios::binary | std::ios::in | std::ios::out);
  stream.seekp(static_cast<std::streamoff>(offset));
  stream << bytes;
}

void set_external(onnx::TensorProto& tensor, const std::string& location, std::uint64_t offset, std::uint64_t length) {
  tensor.clear_raw_data();
  tensor.set_data_location(onnx::TensorProto::EXTERNAL);
  for (const auto& [key, value] : {std::pair{std::string("location"), location},
                                   {"offset", std::to_string(offset)},
                                   {"length", std::to_string(length)}}) {
    onnx::StringStringEntryProto& entry = *tensor.add_external_data();
    entry.set_key(key);
    entry.set_value(value);
  }
}

// Moves the decoder's weights into _data (the first half) and _data_1 (the rest, from `hole` on), as exporters do.
void move_weights_out(const fs::path& folder, std::uint64_t hole) {
  const fs::path file = folder / "onnx" / kDecoder;
  onnx::ModelProto model;
  {
    std::ifstream stream(file, std::ios::binary);
    ASSERT_TRUE(model.ParseFromIstream(&stream));
  }
  auto& initializers = *model.mutable_graph()->mutable_initializer();
  std::uint64_t offsets[] = {0, hole};
  for (int i = 0; i < initializers.size(); ++i) {
    onnx::TensorProto& tensor = initializers[i];
    const int part = i < initializers.size() / 2 ? 0 : 1;
    const std::string name = std::string(kDecoder) + (part == 0 ? "_data" : "_data_1");
    const std::string bytes = tensor.raw_data();
    write_at(folder / "onnx" / name, offsets[part], bytes);
    set_external(tensor, name, offsets[part], bytes.size());
    offsets[part] = (offsets[part] + bytes.size() + 63) / 64 * 64;
  }
  std::ofstream stream(file, std::ios::binary);
  ASSERT_TRUE(model.SerializeToOstream(&stream));
}

// Until it is destroyed this process gets no more than so many bytes of memory of its own (mapped files do not count).
class MemoryLimit {
 public:
  explicit MemoryLimit(std::uint64_t more) {
    std::ifstream status("/proc/self/status");
    std::uint64_t kilobytes = 0;
    for (std::string word; status >> word;)
      if (word == "VmData:") status >> kilobytes;
    getrlimit(RLIMIT_DATA, &old_);
    const rlimit held{kilobytes * 1024 + more, old_.rlim_max};
    setrlimit(RLIMIT_DATA, &held);
  }
  ~MemoryLimit() { setrlimit(RLIMIT_DATA, &old_); }
  MemoryLimit(const MemoryLimit&) = delete;
  MemoryLimit& operator=(const MemoryLimit&) = delete;

 private:
  rlimit old_{};
};

class LargeModels : public testing::Test {
 protected:
  void SetUp() override {
    if (fs::space(scratch_.path()).available < static_cast<std::uint64_t>(4 * kRoomOnDisk))
      GTEST_SKIP() << "too little room in " << scratch_.path();
    std::ofstream(scratch_ / "hole").flush();
    fs::resize_file(scratch_ / "hole", kRoomOnDisk);
    if (bytes_on_disk(scratch_ / "hole") >= kRoomOnDisk) GTEST_SKIP() << "this file system stores holes";
  }

  ScratchFolder scratch_;
};

TEST_F(LargeModels, ATensorBeyond2GiBIsReadAndEditedWithoutReadingTheRest) {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(17);
  const std::int64_t wide = static_cast<std::int64_t>(kBeyond2GiB / sizeof(float));
  for (const auto& [name, count, offset] :
       {std::tuple{"wide", wide, std::uint64_t{0}}, {"far", std::int64_t{4}, kBeyond2GiB}}) {
    onnx::TensorProto& tensor = *model.mutable_graph()->add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(onnx::TensorProto::FLOAT);
    tensor.add_dims(count);
    set_external(tensor, "m.onnx_data", offset, static_cast<std::uint64_t>(count) * sizeof(float));
  }
  const std::vector<float> values = {1, 2, 3, 4};
  write_at(scratch_ / "m.onnx_data", kBeyond2GiB, std::string(reinterpret_cast<const char*>(values.data()), 16));
  write_at(scratch_ / "m.onnx_data", kBeyond2GiB - sizeof(float), std::string("\0\0\x80\x3f", 4));
  std::ofstream stream(scratch_ / "m.onnx", std::ios::binary);
  ASSERT_TRUE(model.SerializeToOstream(&stream));
  stream.close();

  const MemoryLimit limit(256 << 20);
  const OnnxModel source = OnnxModel::open(scratch_ / "m.onnx");
  EXPECT_EQ(source.tensor(*source.tensors_named("wide")[0]).data<float>()[wide - 1], 1);
  EXPECT_THAT(source.tensor(*source.tensors_named("far")[0]).values<float>(), testing::ElementsAreArray(values));
  const TensorEdits edits{{"far", Tensor::of<float>({4}, {5, 6, 7, 8})}};
  fs::create_directory(scratch_ / "out");
  write_edited(source, edits, scratch_ / "out" / "m.onnx");
  const ExportProof proof = prove_export(source, scratch_ / "out" / "m.onnx", edits, ProofMode::kEdited);
  EXPECT_EQ(proof.tensors_edited, 1U);
  const OnnxModel edited = OnnxModel::open(scratch_ / "out" / "m.onnx");
  EXPECT_EQ(edited.tensor(*edited.tensors_named("wide")[0]).data<float>()[wide - 1], 1);
  EXPECT_THAT(edited.tensor(*edited.tensors_named("far")[0]).values<float>(), testing::ElementsAre(5, 6, 7, 8));
  EXPECT_EQ(fs::file_size(scratch_ / "out" / "m.onnx_data"), kBeyond2GiB + 16);
  EXPECT_LT(bytes_on_disk(scratch_ / "out" / "m.onnx_data"), kRoomOnDisk) << "holes stay holes";
}

// Edit, export, proof, reload, revert.
void expect_round_trip(const fs::path& folder, const std::string& site, ProofMode mode) {
  Session session({.threads = 2});
  const Bundle base = Bundle::open(folder / "base");
  ASSERT_EQ(base.models().at("onnx/" + std::string(kDecoder))->external_locations().size(), 2U);
  const Bundle edited = with_random_change(base, site);
  const ProofOptions asked{.questions = {kTinyQuestion}, .mode = {}};
  const BundleProof proof = save(edited, folder / "edited", Existing::kRefuse, session, asked);
  EXPECT_EQ(proof.mode, mode);
  ASSERT_EQ(proof.files.size(), 1U);
  EXPECT_EQ(proof.files[0].files.size(), 3U);
  EXPECT_EQ(proof.files[0].tensors_edited, 1U);
  EXPECT_NE(proof.files[0].edited[0].before, proof.files[0].edited[0].after);
  const Bundle reloaded = Bundle::open(folder / "edited");
  EXPECT_TRUE(same_parameters(reloaded, edited));
  EXPECT_FALSE(same_parameters(reloaded, base));
  save(edited.without_top(), folder / "reverted", Existing::kRefuse, session, asked);
  EXPECT_TRUE(same_parameters(Bundle::open(folder / "reverted"), base));
}

TEST(ExternalData, ABundleWithTwoDataFilesIsEditedExportedProvenAndReverted) {
  ScratchFolder scratch;
  write_tiny_bundle(scratch / "base");
  move_weights_out(scratch / "base", 0);
  expect_round_trip(scratch.path(), kSite, ProofMode::kFull);
  const auto source = files_below(scratch / "base"), edited = files_below(scratch / "edited");
  EXPECT_EQ(files_below(scratch / "reverted"), source);
  ASSERT_EQ(edited.size(), source.size());
  for (const auto& [file, bytes] : source)
    EXPECT_EQ(edited.at(file) == bytes, file != "onnx/decoder_model_merged.onnx_data_1") << file;
}

TEST_F(LargeModels, ABundleBeyond2GiBIsEditedExportedProvenAndReverted) {
  write_tiny_bundle(scratch_ / "base");
  move_weights_out(scratch_ / "base", kBeyond2GiB);
  const MemoryLimit limit(512 << 20);
  expect_round_trip(scratch_.path(), kSite, ProofMode::kEdited);
  for (const char* bundle : {"edited", "reverted"}) {
    const fs::path data = scratch_ / bundle / "onnx" / (std::string(kDecoder) + "_data_1");
    EXPECT_GT(fs::file_size(data), kBeyond2GiB);
    EXPECT_LT(bytes_on_disk(data), kRoomOnDisk) << "holes stay holes";
  }
}

// In the default mode of such a model the other tensors are not read; what sound reaches is still heard in the logits.
TEST_F(LargeModels, AnEncoderEditOfALargeBundleIsProvenBySound) {
  write_tiny_bundle(scratch_ / "base");
  move_weights_out(scratch_ / "base", kBeyond2GiB);
  Session session({.threads = 2});
  const Bundle edited = with_random_change(Bundle::open(scratch_ / "base"), "encoder.block.0.mlp.fc2");
  const ProofOptions asked{.questions = {kTinyQuestion}, .mode = {}};
  const BundleProof proof = save(edited, scratch_ / "out", Existing::kRefuse, session, asked);
  EXPECT_EQ(proof.mode, ProofMode::kEdited);
  const std::string other = edited.site("encoder.block.1.mlp.fc2").targets[0].initializer;
  const OnnxModel encoder = OnnxModel::open(scratch_ / "out" / "onnx" / "audio_encoder.onnx");
  const Tensor weight = encoder.tensor(*encoder.tensors_named(other)[0]);
  write_edited(encoder, {{other, Tensor::zeros(DType::kF32, weight.shape())}}, scratch_ / "spoilt.onnx");
  fs::rename(scratch_ / "spoilt.onnx", scratch_ / "out" / "onnx" / "audio_encoder.onnx");
  EXPECT_THROW(prove_bundle(edited, scratch_ / "out", session, asked), Error);
}

}  // namespace
}  // namespace retune
