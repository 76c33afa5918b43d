// An export is spoilt between writing and proving, in every way that the proof promises to see.
#include "lalm/bundle_proof.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tensor/error.h"
#include "tests/tiny_bundle.h"
#include "weights/onnx_export.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr const char* kEncoderFile = "onnx/audio_encoder.onnx";
constexpr const char* kDecoderFile = "onnx/decoder_model_merged.onnx";
constexpr const char* kEncoderSite = "encoder.block.0.mlp.fc2";

void flip_byte(const fs::path& file, std::size_t at) {
  std::string bytes = bytes_of(file);
  bytes.at(at) ^= 1;
  std::ofstream(file, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

class BundleProofTest : public testing::Test {
 protected:
  static Bundle tiny(const fs::path& folder) {
    write_tiny_bundle(folder);
    return Bundle::open(folder);
  }

  // A good export of `edited`, to be spoilt.
  void write(const Bundle& edited) {
    edited_.emplace(edited);
    save(*edited_, out(), Existing::kReplace, session_, options({}));
  }
  fs::path out() const { return scratch_ / "out"; }
  ProofOptions options(std::optional<ProofMode> mode) const { return {{kTinyQuestion}, mode}; }
  BundleProof proof(std::optional<ProofMode> mode = {}) {
    return prove_bundle(*edited_, out(), session_, options(mode));
  }
  std::string refusal(std::optional<ProofMode> mode) {
    try {
      proof(mode);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kProof) << error.what();
      return error.what();
    }
    return "no error";
  }

  // Writes the export's `file` again with the tensor of a site scaled; the file's structure stays as it was.
  void scale_in_export(const std::string& file, const std::string& site, float factor) {
    const std::string name = edited_->site(site).targets[0].initializer;
    {
      const OnnxModel model = OnnxModel::open(out() / file);
      Tensor tensor = model.tensor(*model.tensors_named(name)[0]).copy();
      for (std::int64_t i = 0; i < tensor.numel(); ++i) tensor.mutable_data<float>()[i] *= factor;
      write_edited(model, {{name, tensor}}, scratch_ / "spoilt.onnx");
    }
    fs::rename(scratch_ / "spoilt.onnx", out() / file);
  }

  ScratchFolder scratch_;
  Session session_{SessionOptions{.threads = 2}};
  Bundle base_ = tiny(scratch_ / "base");
  std::optional<Bundle> edited_;
};

TEST_F(BundleProofTest, ListsEveryFileThatWasCopiedWithItsHash) {
  write(with_random_change(base_, kEncoderSite));
  const BundleProof full = proof();
  EXPECT_EQ(full.mode, ProofMode::kFull) << "the default of a small model";
  ASSERT_EQ(full.files.size(), 1U);
  EXPECT_EQ(full.files[0].files[0].filename(), "audio_encoder.onnx");
  EXPECT_EQ(full.copied.size(), files_below(scratch_ / "base").size() - 1);
  for (const auto& copy : full.copied)
    EXPECT_EQ(copy.sha256, ContentHash::of_file(scratch_ / "base" / copy.file)) << copy.file;
  const BundleProof brief = proof(ProofMode::kEdited);
  EXPECT_TRUE(brief.copied.empty());
  EXPECT_EQ(brief.files[0].edited.size(), 1U);
}

// A bundle whose `onnx` is a link to a folder opened, and its export was refused for files that it should not hold.
TEST_F(BundleProofTest, FoldersThatAreLinksAreExportedAsFolders) {
  fs::rename(scratch_ / "base" / "onnx", scratch_ / "elsewhere");
  fs::create_directory_symlink("../elsewhere", scratch_ / "base" / "onnx");
  write(with_random_change(Bundle::open(scratch_ / "base"), kEncoderSite));
  EXPECT_FALSE(fs::is_symlink(out() / "onnx"));
  EXPECT_EQ(bytes_of(out() / kDecoderFile), bytes_of(scratch_ / "elsewhere" / "decoder_model_merged.onnx"));
  EXPECT_EQ(proof().copied.size(), files_of(scratch_ / "base").size() - 1);
}

TEST_F(BundleProofTest, ALinkThatLeadsBackIsAnErrorBeforeAnythingIsWritten) {
  fs::create_directory_symlink(".", scratch_ / "base" / "again");
  const Bundle looped = with_random_change(Bundle::open(scratch_ / "base"), kEncoderSite);
  try {
    save(looped, out(), Existing::kRefuse, session_, options({}));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    EXPECT_THAT(error.what(), HasSubstr("does a link lead back?"));
  }
  EXPECT_FALSE(fs::exists(out()));
}

TEST_F(BundleProofTest, SeesAByteOfACopiedFileThatIsWrong) {
  write(with_random_change(base_, kEncoderSite));
  for (const auto& [file, bytes] : files_below(scratch_ / "base")) {
    if (file == kEncoderFile) continue;
    flip_byte(out() / file, bytes.size() / 2);
    EXPECT_THAT(refusal(ProofMode::kFull), testing::AllOf(HasSubstr(file), HasSubstr("was not edited")));
    flip_byte(out() / file, bytes.size() / 2);
  }
  EXPECT_NO_THROW(proof(ProofMode::kFull));
}

TEST_F(BundleProofTest, SeesFilesThatAreMissingOrTooManyOrOfAnotherSize) {
  write(with_random_change(base_, kEncoderSite));
  for (const ProofMode mode : {ProofMode::kFull, ProofMode::kEdited}) {
    std::ofstream(out() / "left_over.txt") << "x";
    EXPECT_THAT(refusal(mode), HasSubstr("left_over.txt, which its source does not have"));
    fs::remove(out() / "left_over.txt");
    fs::rename(out() / "generation_config.json", scratch_ / "aside");
    EXPECT_THAT(refusal(mode), HasSubstr("lacks generation_config.json"));
    fs::rename(scratch_ / "aside", out() / "generation_config.json");
    std::ofstream(out() / "config.json", std::ios::app) << "\n";
    EXPECT_THAT(refusal(mode), HasSubstr("config.json is"));
    fs::copy_file(scratch_ / "base" / "config.json", out() / "config.json", fs::copy_options::overwrite_existing);
  }
  EXPECT_NO_THROW(proof(ProofMode::kFull));
}

TEST_F(BundleProofTest, SeesAnEditedEncoderTensorThatWasTamperedWith) {
  write(with_random_change(base_, kEncoderSite));
  scale_in_export(kEncoderFile, kEncoderSite, 1.01F);
  for (const ProofMode mode : {ProofMode::kFull, ProofMode::kEdited})
    EXPECT_THAT(refusal(mode), HasSubstr("does not hold the edited values"));
}

TEST_F(BundleProofTest, SeesATensorOfAnEditedFileThatWasNotToChange) {
  write(with_random_change(base_, "decoder.block.0.mlp.down"));
  scale_in_export(kDecoderFile, "decoder.block.2.mlp.up", 1.01F);
  EXPECT_THAT(refusal(ProofMode::kFull), HasSubstr("was not edited, but its bytes differ"));
}

// The logits were compared without sound only, so nothing that encoder or connector compute could make them differ.
TEST_F(BundleProofTest, TheLogitsTellOfChangesThatOnlySoundReaches) {
  for (const char* site : {"encoder.block.1.attn.o", "connector.0", "connector.1"}) {
    SCOPED_TRACE(site);
    write(with_random_change(base_, kEncoderSite));
    scale_in_export(kEncoderFile, site, 1.5F);
    EXPECT_THAT(refusal(ProofMode::kEdited), HasSubstr("logits differ")) << "its bytes are not compared";
  }
}

TEST_F(BundleProofTest, TheBaseProvenAsTheEditedModelFails) {
  write(with_random_change(base_, kEncoderSite));
  fs::copy(scratch_ / "base", out(), fs::copy_options::overwrite_existing | fs::copy_options::recursive);
  EXPECT_THAT(refusal({}), HasSubstr("does not hold the edited values"));
}

TEST_F(BundleProofTest, AModelWithoutEditsIsProvenByItsFiles) {
  write(base_);
  const BundleProof full = proof();
  EXPECT_TRUE(full.files.empty());
  EXPECT_EQ(full.copied.size(), files_below(scratch_ / "base").size());
  scale_in_export(kEncoderFile, "connector.1", 1.5F);
  EXPECT_THAT(refusal(ProofMode::kFull), HasSubstr(kEncoderFile));
  EXPECT_THAT(refusal(ProofMode::kEdited), HasSubstr("logits differ"));
}

}  // namespace
}  // namespace retune
