#include "adapters/tensor_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "adapters/hdf5_writer.h"
#include "tensor/error.h"

namespace retune {
namespace {

using ::testing::HasSubstr;

class TensorFile : public ::testing::Test {
 protected:
  TensorFile()
      : path_(std::filesystem::path(::testing::TempDir()) / ("retune-tensors-" + std::to_string(getpid()) + ".h5")) {}
  ~TensorFile() override { std::filesystem::remove(path_); }
  std::filesystem::path path_;
};

TEST(TensorName, EncodesOnlyWhatHdf5CannotHold) {
  EXPECT_EQ(encode_name("input_ids"), "input_ids");
  EXPECT_EQ(encode_name("/model/layers.0/%x"), "%2Fmodel%2Flayers.0%2F%25x");
  EXPECT_EQ(encode_name("."), "%2E");
  EXPECT_EQ(encode_name(".."), "..");
  for (const std::string name : {"a", "/", "%", "%2F", "a%2Fb/c", ".", "100%", "%zz", "Grüße"})
    EXPECT_EQ(decode_name(encode_name(name)), name);
  EXPECT_EQ(decode_name("100%"), "100%");
  EXPECT_EQ(decode_name("%zz%2f"), "%zz/");
}

TEST_F(TensorFile, RoundTripsNamesAndTypes) {
  const std::map<std::string, Tensor> tensors{{"/model/logits.%", Tensor::of<float>({2}, {1, 2})},
                                              {".", Tensor::scalar(std::int64_t{3})},
                                              {"half", Tensor::of<BF16>({1}, {BF16::from(2)})},
                                              {"codes", Tensor::of<float>({3}, {-8, 0, 7}).cast(DType::kI4)},
                                              {"eighth", Tensor::of<float>({2}, {-8, 448}).cast(DType::kF8E4M3FN)},
                                              {"mask", Tensor::zeros(DType::kBool, {0})}};
  write_tensors(path_, tensors);
  const std::map<std::string, Tensor> read = read_tensors(path_);
  ASSERT_EQ(read.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) EXPECT_TRUE(identical(read.at(name), tensor)) << name;
}

TEST_F(TensorFile, LooksForTheExactNameFirst) {
  {
    Hdf5Writer writer(path_);
    writer.write("a/b", Tensor::scalar(1.0f));    // as Python's f["a/b"] = ... makes it
    writer.write("c%2Fd", Tensor::scalar(2.0f));  // a name that happens to look encoded
    writer.commit();
  }
  EXPECT_EQ(read_tensors(path_).at("a/b").to_f64()[0], 1);
  EXPECT_EQ(read_tensors(path_).at("c/d").to_f64()[0], 2);
  const std::vector<std::string> wanted{"/a/b", "c%2Fd", "absent"};
  const auto read = read_tensors(path_, wanted);
  EXPECT_EQ(read.at("/a/b").to_f64()[0], 1);
  EXPECT_EQ(read.at("c%2Fd").to_f64()[0], 2);
  EXPECT_EQ(read.size(), 2u);
}

TEST_F(TensorFile, RefusesTwoTensorsOfOneName) {
  try {
    read_tensors("tests/golden/hdf5/twice.h5");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    EXPECT_THAT(error.what(), HasSubstr("the tensor 'x' twice"));
  }
  EXPECT_THROW(write_tensors(path_, {{"", Tensor::scalar(1.0f)}}), Error);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

}  // namespace
}  // namespace retune
