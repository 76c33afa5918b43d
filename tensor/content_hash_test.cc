#include "tensor/content_hash.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tensor/error.h"

namespace retune {
namespace {

// FIPS 180-4 examples.
TEST(ContentHash, GivesTheStandardsOwnExamples) {
  EXPECT_EQ(ContentHash::of("").hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(ContentHash::of("abc").hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(ContentHash::of(std::string(1000000, 'a')).hex(),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(ContentHash, OfAFileIsTheHashOfItsBytes) {
  const std::string path = testing::TempDir() + "content_hash_of_file";
  const std::string content(3000000, 'x');  // more than one buffer
  std::ofstream(path) << content;
  EXPECT_EQ(ContentHash::of_file(path), ContentHash::of(content));
  std::filesystem::remove(path);
  EXPECT_THROW(ContentHash::of_file(path), Error);
}

TEST(ContentHash, HexReadsBackAndRefusesAnythingElse) {
  const ContentHash hash = ContentHash::of("abc");
  EXPECT_EQ(ContentHash::from_hex(hash.hex()), hash);
  EXPECT_THROW(ContentHash::from_hex("ba78"), Error);
  EXPECT_THROW(ContentHash::from_hex(std::string(64, 'g')), Error);
}

TEST(Hasher, FramesTextSoThatTheCutMatters) {
  const auto of_two = [](std::string_view a, std::string_view b) {
    Hasher hasher;
    return hasher.add(a).add(b).finish();
  };
  EXPECT_NE(of_two("ab", "c"), of_two("a", "bc"));
  EXPECT_NE(of_two("", "abc"), of_two("abc", ""));
  EXPECT_EQ(of_two("ab", "c"), of_two("ab", "c"));
}

}  // namespace
}  // namespace retune
