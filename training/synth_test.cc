#include "training/synth.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "audio/waveform.h"
#include "facts/corpus.h"
#include "facts/fact_set.h"
#include "facts/probe_file.h"
#include "tensor/content_hash.h"
#include "tensor/error.h"
#include "tests/oracle.h"
#include "training/synth/espeak.h"

namespace retune {
namespace {

namespace fs = std::filesystem;

class Synth : public testing::Test {
 protected:
  void SetUp() override {
    const testing::TestInfo& info = *testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::path(testing::TempDir()) / (std::string("retune_synth_") + info.name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  // The smallest data set; with speech only where espeak-ng is installed.
  static SynthOptions small() {
    SynthOptions options;
    options.train_clips = options.val_clips = options.test_clips = 100;
    options.train_edits = 4;
    options.val_edits = 2;
    options.test_edits = 4;
    options.sequences = 2;
    options.demo_edits = 4;
    options.attributes = {"Animal"};
    if (synth::espeak_installed()) options.attributes = {"Gender", "Emotion", "Language", "Animal"};
    return options;
  }

  static std::map<std::string, ContentHash> contents(const fs::path& root) {
    std::map<std::string, ContentHash> files;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root)) {
      if (entry.is_regular_file())
        files[fs::relative(entry.path(), root).string()] = ContentHash::of_file(entry.path());
    }
    return files;
  }

  fs::path folder_;
};

TEST_F(Synth, SameSeedGivesTheSameBytesWithOneAndTwoThreads) {
  SynthOptions options = small();
  options.threads = 1;
  synthesise(options, folder_ / "one", {});
  options.threads = 2;
  synthesise(options, folder_ / "two", {});
  const auto one = contents(folder_ / "one");
  EXPECT_GT(one.size(), 300u);
  EXPECT_EQ(one, contents(folder_ / "two"));
  if (!synth::espeak_installed())
    RETUNE_ORACLE_MISSING("espeak-ng is not installed: compared animals and other sounds only");
}

TEST_F(Synth, ClipsDifferFromEachOtherAndFromAnotherSeeds) {
  SynthOptions options = small();
  options.attributes = {"Animal"};
  options.clip_seconds = 1;
  synthesise(options, folder_ / "one", {});
  options.seed = 2;
  synthesise(options, folder_ / "two", {});
  std::set<ContentHash> hashes;
  std::size_t clips = 0;
  for (const char* seed : {"one", "two"}) {
    for (const char* split : {"train", "val", "test"}) {
      for (const auto& [file, hash] : contents(folder_ / seed / split / "audio")) {
        hashes.insert(hash);
        ++clips;
      }
    }
  }
  EXPECT_EQ(clips, 600u);
  EXPECT_EQ(hashes.size(), clips);
}

TEST_F(Synth, WhatItWritesLoadsAndItsClipsAreThereAtTheLengthAndRateAskedFor) {
  SynthOptions options = small();
  options.rate_hz = 8000;
  options.clip_seconds = 1.5;
  options.audio_format = "wav";
  const fs::path out = folder_ / "data";
  const SynthReport report = synthesise(options, out, {});
  const auto attributes = options.attributes.size();

  const Corpus corpus = Corpus::load(out / "train" / "corpus.jsonl", out / "train" / "audio");
  EXPECT_EQ(static_cast<std::int64_t>(corpus.items().size()), report.corpus_items);
  corpus.check_audio();
  const std::map<std::string, std::size_t> expected{{"train/facts.json", 4 * attributes},
                                                    {"val/facts.json", 2 * attributes},
                                                    {"test/facts.json", 4 * attributes},
                                                    {"demo/facts.json", (3 + attributes) / attributes * attributes}};
  for (const auto& [file, count] : expected) {
    const FactSet facts = FactSet::load(out / file);
    EXPECT_EQ(facts.facts().size(), count) << file;
    EXPECT_TRUE(facts.ignored_keys().empty()) << file;
    facts.check_audio();
    if (!file.starts_with("train")) refuse_shared_clips(corpus, facts);
  }
  const FactSet sequences = FactSet::load(out / "test" / "sequential.json");
  EXPECT_EQ(sequences.sequences().size(), 2u);
  sequences.check_audio();
  for (const char* split : {"val", "test"})
    check_audio(load_probes(out / split / "probes.jsonl", out / split / "audio"));
}

TEST_F(Synth, LeavesNothingBehindWhenItIsInterrupted) {
  SynthOptions options = small();
  options.attributes = {"Animal"};
  const auto interrupt = [](const SynthProgress& progress) {
    if (progress.step == "clips" && progress.done > 0) throw Error(ErrorCode::kInterrupted, "stopped");
  };
  EXPECT_THROW(synthesise(options, folder_ / "data", interrupt), Error);
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(Synth, RefusesAFolderThatIsNotEmpty) {
  std::ofstream(folder_ / "mine.txt") << "keep";
  EXPECT_THROW(synthesise(small(), folder_, {}), Error);
  EXPECT_TRUE(fs::exists(folder_ / "mine.txt"));
}

TEST_F(Synth, NamesTheOptionThatIsWrong) {
  const auto message = [](const SynthOptions& options) {
    try {
      options.validate();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUser);
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(message({}), "no error");
  EXPECT_EQ(message({.train_clips = 99}), "synth option train_clips: expected 100 to 1000000, got 99");
  EXPECT_NE(message({.clip_seconds = 0}).find("clip_seconds"), std::string::npos);
  EXPECT_NE(message({.audio_format = "mp3"}).find("expected flac or wav, got 'mp3'"), std::string::npos);
  EXPECT_NE(message({.attributes = {"Colour"}}).find("got 'Colour'"), std::string::npos);
  EXPECT_NE(message({.attributes = {"Animal", "Animal"}}).find("twice"), std::string::npos);
  EXPECT_NE(message({.attributes = {}}).find("at least one"), std::string::npos);
}

}  // namespace
}  // namespace retune
