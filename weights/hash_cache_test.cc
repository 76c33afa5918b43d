#include "weights/hash_cache.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>

#include "weights/onnx_test_models.h"

namespace retune {
namespace {

using namespace testing_models;

class HashCacheTest : public FolderTest {
 protected:
  void SetUp() override {
    FolderTest::SetUp();
    setenv("XDG_CACHE_HOME", (folder_ / "cache").c_str(), 1);
    write_bytes(folder_ / "model", "");
    std::filesystem::resize_file(folder_ / "model", kRememberedFileBytes);  // sparse
    age(std::chrono::hours(1));
  }
  void TearDown() override {
    unsetenv("XDG_CACHE_HOME");
    FolderTest::TearDown();
  }

  void age(std::chrono::seconds by) {
    std::filesystem::last_write_time(folder_ / "model", std::filesystem::file_time_type::clock::now() - by);
  }
  MappedFile map() const { return MappedFile::open(folder_ / "model"); }

  const ContentHash hash_ = ContentHash::of("a range");
};

TEST_F(HashCacheTest, RemembersARangeOfAFile) {
  remember_hash(map(), 100, 50, hash_);
  remember_hash(map(), 100, 60, ContentHash::of("another"));
  EXPECT_EQ(known_hash(map(), 100, 50), hash_);
  EXPECT_EQ(known_hash(map(), 100, 60), ContentHash::of("another"));
  EXPECT_EQ(known_hash(map(), 101, 50), std::nullopt);
}

TEST_F(HashCacheTest, ForgetsAFileThatWasWrittenAgain) {
  remember_hash(map(), 0, 10, hash_);
  age(std::chrono::minutes(30));
  EXPECT_EQ(known_hash(map(), 0, 10), std::nullopt);
}

TEST_F(HashCacheTest, RemembersNothingOfAFileThatChangedUnderTheMap) {
  const MappedFile file = map();
  age(std::chrono::minutes(30));
  remember_hash(file, 0, 10, hash_);
  EXPECT_EQ(known_hash(file, 0, 10), std::nullopt);
}

TEST_F(HashCacheTest, RemembersNothingOfAFileThatWasJustWritten) {
  age(std::chrono::seconds(0));
  remember_hash(map(), 0, 10, hash_);
  EXPECT_EQ(known_hash(map(), 0, 10), std::nullopt);
}

TEST_F(HashCacheTest, RemembersNothingOfASmallFile) {
  std::filesystem::resize_file(folder_ / "model", kRememberedFileBytes - 1);
  age(std::chrono::hours(1));
  remember_hash(map(), 0, 10, hash_);
  EXPECT_EQ(known_hash(map(), 0, 10), std::nullopt);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "cache"));
}

TEST_F(HashCacheTest, SkipsTornLines) {
  remember_hash(map(), 0, 10, hash_);
  const auto entries = *std::filesystem::directory_iterator(folder_ / "cache/retune/hashes");
  write_bytes(entries.path(), "0 10 abc");
  EXPECT_EQ(known_hash(map(), 0, 10), std::nullopt);
}

TEST_F(HashCacheTest, WorksWithoutAFolder) {
  setenv("XDG_CACHE_HOME", "/proc/nowhere", 1);
  remember_hash(map(), 0, 10, hash_);
  EXPECT_EQ(known_hash(map(), 0, 10), std::nullopt);
}

}  // namespace
}  // namespace retune
