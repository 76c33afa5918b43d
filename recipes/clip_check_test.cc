#include "recipes/clip_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <fstream>

#include "audio/waveform.h"
#include "tensor/error.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// A folder with one clip for each way in which a file may not be sound.
class ClipCheck : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(root_);
    save("short.wav", 800, 0.5F);
    save("long.flac", 4000, 0.5F);
    save("silent.flac", 800, 0.0F);
    std::ofstream(root_ / "empty.wav") << "";
    std::ofstream(root_ / "text.wav") << "no sound";
    fs::copy_file(root_ / "long.flac", root_ / "cut.flac");
    fs::resize_file(root_ / "cut.flac", fs::file_size(root_ / "cut.flac") / 2);
  }
  void TearDown() override { fs::remove_all(root_); }

  void save(const char* name, std::size_t samples, float loudness) const {
    Waveform clip{std::vector<float>(samples), 16000};
    for (std::size_t i = 0; i < samples; ++i) clip.samples[i] = loudness * std::sin(0.1F * static_cast<float>(i));
    save_waveform(root_ / name, clip);
  }

  ClipUse use(const std::string& name, const std::string& user) const { return {Clip::below(root_, "", name), user}; }

  // The error about these clips, in order; empty if there is none.
  std::string refusal(const std::vector<ClipUse>& uses, int threads = 2) const {
    ThreadPool pool(threads);
    try {
      check_clips(uses, pool);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUser) << error.what();
      return error.what();
    }
    return "";
  }

  fs::path root_ = fs::path(testing::TempDir()) / ("retune_clip_check_" + std::to_string(getpid()));
};

// Silence was refused of a clip on the command line only; facts, probes and corpora were asked about it.
TEST_F(ClipCheck, WhatCannotBeHeardIsRefusedByUserClipAndFile) {
  for (const char* name : {"silent.flac", "empty.wav", "text.wav", "cut.flac", "missing.wav"}) {
    const std::string error = refusal({use("short.wav", "Animal-0000"), use(name, "Animal-0001/generality-2")});
    EXPECT_THAT(error, HasSubstr("Animal-0001/generality-2: clip '" + std::string(name) + "'"));
    EXPECT_THAT(error, HasSubstr((root_ / name).string()));
    EXPECT_THAT(error, testing::Not(HasSubstr("\n")));
  }
  EXPECT_THAT(refusal({use("silent.flac", "a")}), HasSubstr("silent: every sample is zero"));
  EXPECT_EQ(refusal({use("short.wav", "a"), use("long.flac", "b")}), "");
  EXPECT_EQ(refusal({}), "");
}

TEST_F(ClipCheck, TheFirstInOrderIsNamedWithAnyNumberOfThreads) {
  std::vector<ClipUse> uses;
  for (int i = 0; i < 150; ++i) {
    const std::string name = "clip_" + std::to_string(i) + ".wav";
    save(name.c_str(), 100, i == 97 || i == 100 ? 0.0F : 0.5F);
    uses.push_back(use(name, "item " + std::to_string(i)));
  }
  for (const int threads : {1, 2, 4}) EXPECT_THAT(refusal(uses, threads), HasSubstr("item 97: clip 'clip_97.wav'"));
}

TEST_F(ClipCheck, AFileIsReadOnceHoweverManyAskAboutIt) {
  ThreadPool pool(1);
  std::int64_t total = 0;
  const Watch watch{.observer = [&](const Progress& progress) { total = progress.total; }};
  const std::optional<Clip> longest =
      check_clips({use("short.wav", "a"), use("long.flac", "b"), use("short.wav", "c")}, pool, watch);
  EXPECT_EQ(total, 2);
  ASSERT_TRUE(longest);
  EXPECT_EQ(longest->name(), "long.flac");
  EXPECT_FALSE(check_clips({}, pool));
}

TEST_F(ClipCheck, ItCanBeInterrupted) {
  ThreadPool pool(1);
  const std::atomic<bool> stop = true;
  try {
    check_clips({use("short.wav", "a")}, pool, {.observer = {}, .stop = &stop});
    FAIL() << "it went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInterrupted);
  }
}

}  // namespace
}  // namespace retune
