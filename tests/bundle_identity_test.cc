// What is keyed by a model's hash (second moments, studies, hyper-networks) must be found again for the same model in
// another folder or on another machine, and for no other model.
#include <gtest/gtest.h>

#include <chrono>

#include "tests/tiny_bundle.h"

namespace retune {
namespace {

namespace fs = std::filesystem;

// Once, the hash held the path and the time of the files: a copy of a model had another.
TEST(BundleIdentity, IsItsContentWhereverItLies) {
  const ScratchFolder scratch;
  write_tiny_bundle(scratch / "bundle");
  fs::copy(scratch / "bundle", scratch / "copy", fs::copy_options::recursive);
  fs::last_write_time(scratch / "copy/onnx/decoder_model_merged.onnx",
                      fs::file_time_type::clock::now() - std::chrono::hours(1));
  const Bundle here = Bundle::open(scratch / "bundle"), there = Bundle::open(scratch / "copy");
  EXPECT_EQ(here.hash(), there.hash());
  const Bundle changed = with_random_change(here, "decoder.block.1.mlp.down");
  EXPECT_NE(changed.hash(), here.hash());
  EXPECT_EQ(changed.without_top().hash(), here.hash());
}

TEST(BundleIdentity, DiffersWhereAWeightDoes) {
  const ScratchFolder scratch;
  write_tiny_bundle(scratch / "one", {.seed = 1});
  write_tiny_bundle(scratch / "two", {.seed = 2});
  EXPECT_NE(Bundle::open(scratch / "one").hash(), Bundle::open(scratch / "two").hash());
}

}  // namespace
}  // namespace retune
