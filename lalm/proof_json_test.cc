#include "lalm/proof_json.h"

#include <gtest/gtest.h>

namespace retune {
namespace {

// Written by hand from docs/formats/study.md.
TEST(ProofJson, HasTheDocumentedKeysInOrder) {
  const ContentHash one = ContentHash::of("one");
  const ContentHash two = ContentHash::of("two");
  BundleProof proof;
  proof.mode = ProofMode::kFull;
  proof.files.resize(1);
  proof.files[0].files = {"out/onnx/decoder.onnx", "out/onnx/decoder.onnx_data"};
  proof.files[0].edited.push_back({.name = "w", .before = one, .after = two});
  proof.files[0].tensors_edited = 1;
  proof.files[0].tensors_untouched = 7;
  proof.files[0].tensors_added = 2;
  proof.files[0].nodes_added = 3;
  proof.files[0].bytes_compared = 4096;
  proof.copied.push_back({.file = "config.json", .sha256 = two});
  proof.logit_difference = 0.5;
  EXPECT_EQ(
      proof_json(proof).dump(),
      R"({"mode":"full","files":[{"files":["decoder.onnx","decoder.onnx_data"],"edited":[{"name":"w","before":")" +
          one.hex() + R"(","after":")" + two.hex() +
          R"("}],"tensors_edited":1,"tensors_untouched":7,"tensors_added":2,"nodes_added":3,"bytes_compared":4096}],)" +
          R"("copied":[{"file":"config.json","sha256":")" + two.hex() + R"("}],"logit_difference":0.5})");
  EXPECT_EQ(proof_json({}).dump(), R"({"mode":"edited","files":[],"copied":[],"logit_difference":0.0})");
}

}  // namespace
}  // namespace retune
