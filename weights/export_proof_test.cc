#include "weights/export_proof.h"

#include <gmock/gmock.h>

#include "weights/onnx_export.h"
#include "weights/onnx_test_models.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using namespace testing_models;
using testing::HasSubstr;

// A good export of external.onnx with two edits, for each test to spoil.
class ExportProofTest : public FolderTest {
 protected:
  ExportProofTest() : source_(OnnxModel::open(kGolden / "external.onnx")) {
    edits_ = {{"b", Tensor::of<std::int64_t>({2}, {7, -7})}, {"inline", Tensor::of<float>({1}, {8})}};
    write_edited(source_, edits_, folder_ / "m.onnx");
  }

  void spoil(const std::string& file, std::size_t at) {
    std::string bytes = read_bytes(folder_ / file);
    bytes.at(at) ^= 1;
    write_bytes(folder_ / file, bytes);
  }
  std::string refusal(ProofMode mode = ProofMode::kFull) {
    return error_of([&] { prove_export(source_, folder_ / "m.onnx", edits_, mode); }, ErrorCode::kProof);
  }
  ExportProof proof(ProofMode mode) { return prove_export(source_, folder_ / "m.onnx", edits_, mode); }

  OnnxModel source_;
  TensorEdits edits_;
};

TEST_F(ExportProofTest, CountsWhatItComparedAndShowsTheHashes) {
  const ExportProof full = proof(ProofMode::kFull);
  ASSERT_EQ(full.edited.size(), 2u);
  EXPECT_EQ(full.edited[0].name, "b");
  EXPECT_EQ(full.edited[0].before, source_.tensor_hash(*source_.tensors_named("b").front()));
  EXPECT_EQ(full.edited[0].after,
            ContentHash::of(std::string_view("\x07\0\0\0\0\0\0\0\xf9\xff\xff\xff\xff\xff\xff\xff", 16)));
  EXPECT_EQ(full.tensors_edited, 2u);
  EXPECT_EQ(full.tensors_untouched, 3u);
  // Both data files whole; the row that lies within `a` counts a second time.
  EXPECT_GT(full.bytes_compared, 8192u + 4 + 12);
  EXPECT_LT(proof(ProofMode::kEdited).bytes_compared, 1000u);
}

TEST_F(ExportProofTest, SeesAnEditThatIsNotThere) {
  fs::copy_file(kGolden / "external.onnx_data", folder_ / "external.onnx_data", fs::copy_options::overwrite_existing);
  EXPECT_THAT(refusal(ProofMode::kEdited), HasSubstr("does not hold the edited values"));
}

TEST_F(ExportProofTest, SeesAByteOfAnEditedTensorThatIsWrong) {
  spoil("external.onnx_data", 4121 + 15);
  EXPECT_THAT(refusal(ProofMode::kEdited), HasSubstr("does not hold the edited values"));
}

TEST_F(ExportProofTest, SeesAByteOfAnotherTensorOrBetweenTensorsWhenAskedForAll) {
  spoil("external.onnx_data", 4100);
  EXPECT_NO_THROW(proof(ProofMode::kEdited));
  EXPECT_THAT(refusal(), HasSubstr("'a'"));
  spoil("external.onnx_data", 4100);
  for (const std::size_t at : {std::size_t{0}, std::size_t{4120}, std::size_t{8191}}) {
    spoil("external.onnx_data", at);
    EXPECT_THAT(refusal(), HasSubstr("differs from its source")) << at;
    spoil("external.onnx_data", at);
  }
  EXPECT_NO_THROW(proof(ProofMode::kFull));
}

TEST_F(ExportProofTest, SeesADataFileOfAnotherSize) {
  write_bytes(folder_ / "external.onnx_data", read_bytes(folder_ / "external.onnx_data") + "x");
  EXPECT_THAT(refusal(ProofMode::kEdited), HasSubstr("8193 bytes, expected 8192"));
}

// Whatever byte of the graph file is wrong, the proof fails or the file does not open.
TEST_F(ExportProofTest, SeesEveryByteOfTheGraphFile) {
  const std::string good = read_bytes(folder_ / "m.onnx");
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    fs::remove(folder_ / "m.onnx");
    write_bytes(folder_ / "m.onnx", bad);
    EXPECT_THROW(proof(ProofMode::kFull), Error) << at;
  }
  for (const std::string& bad : {good + std::string("\x32\x01x"), good.substr(0, good.size() - 4)}) {
    write_bytes(folder_ / "m.onnx", bad);
    EXPECT_THROW(proof(ProofMode::kFull), Error);
  }
}

TEST_F(ExportProofTest, SeesAChecksumThatIsOutOfDate) {
  fs::copy_file(kGolden / "external.onnx", folder_ / "m.onnx", fs::copy_options::overwrite_existing);
  edits_.erase("inline");
  EXPECT_THAT(refusal(ProofMode::kEdited), HasSubstr("checksum"));
}

TEST_F(ExportProofTest, AnEditThatChangesNothingIsShownByEqualHashes) {
  const TensorEdits same{{"c", source_.tensor(*source_.tensors_named("c").front())}};
  fs::create_directory(folder_ / "same");
  write_edited(source_, same, folder_ / "same" / "m.onnx");
  const ExportProof shown = prove_export(source_, folder_ / "same" / "m.onnx", same, ProofMode::kFull);
  EXPECT_EQ(shown.edited[0].before, shown.edited[0].after);
}

}  // namespace
}  // namespace retune
