// Training a toy on tones: that it learns, and that neither a pause nor the number of threads changes a byte.
#include "training/lalm_trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <numbers>

#include "audio/waveform.h"
#include "lalm/bundle.h"
#include "tensor/error.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class LalmTrainer : public testing::Test {
 protected:
  LalmTrainer() {
    folder_ = fs::path(testing::TempDir()) / fmt::format("retune_trainer_{}_{}", ::getpid(),
                                                         testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    std::vector<CorpusItem> items;
    for (int i = 0; i < 6; ++i) {
      const bool low = i % 2 == 0;
      const std::string file = fmt::format("{}.wav", i);
      write_tone(folder_ / file, (low ? 200 : 1200) + 30 * i);
      items.push_back(
          {Clip::below(folder_, "", file), "Which animal is it?", low ? "cow" : "cat", "Animal", low ? "cow" : "cat"});
    }
    items.push_back({std::nullopt, "What has a trunk?", "elephant", "", ""});
    corpus_ = Corpus(items);

    LalmShape& shape = options_.shape;
    shape.mel_bins = 16;
    shape.encoder_width = 16;
    shape.encoder_blocks = 1;
    shape.encoder_heads = 2;
    shape.encoder_hidden = 24;
    shape.max_encoder_frames = 50;
    shape.stack = 4;
    shape.connector_hidden = 16;
    shape.width = 16;
    shape.blocks = 2;
    shape.heads = 2;
    shape.kv_heads = 1;
    shape.head_size = 8;
    shape.hidden = 24;
    options_.vocabulary_size = 280;
    options_.hearing = {.steps = 6, .batch = 6, .learning_rate = 1e-2, .warmup_steps = 1};
    options_.joint = {.steps = 6, .batch = 8, .learning_rate = 1e-2, .warmup_steps = 1};
    options_.augment = {1, 2};
    options_.checkpoint_every = 4;
  }
  ~LalmTrainer() override { fs::remove_all(folder_); }

  static void write_tone(const fs::path& path, int hertz) {
    Waveform clip{std::vector<float>(6400), 16000};
    for (std::size_t i = 0; i < clip.samples.size(); ++i)
      clip.samples[i] =
          static_cast<float>(0.4 * std::sin(2 * std::numbers::pi * hertz * static_cast<double>(i) / 16000));
    save_waveform(path, clip);
  }

  // Trains with `go_on` as the observer's answer; returns what was reported.
  std::vector<TrainingProgress> train(const std::string& work, const std::string& out, int threads,
                                      const std::function<bool(const TrainingProgress&)>& go_on) {
    std::vector<TrainingProgress> reports;
    Session session({.threads = threads});
    fs::create_directories(folder_ / out);
    train_lalm(corpus_, options_, folder_ / work, folder_ / out, session, [&](const TrainingProgress& progress) {
      reports.push_back(progress);
      return go_on(progress);
    });
    return reports;
  }
  std::vector<TrainingProgress> train(const std::string& work, const std::string& out, int threads = 1) {
    return train(work, out, threads, [](const TrainingProgress&) { return true; });
  }

  std::map<std::string, std::string> files(const std::string& out) const {
    std::map<std::string, std::string> result;
    for (const auto& entry : fs::recursive_directory_iterator(folder_ / out)) {
      if (!entry.is_regular_file()) continue;
      std::ifstream stream(entry.path(), std::ios::binary);
      result[entry.path().lexically_relative(folder_ / out).string()] = {std::istreambuf_iterator<char>(stream), {}};
    }
    return result;
  }

  fs::path folder_;
  Corpus corpus_;
  LalmTrainingOptions options_;
};

TEST_F(LalmTrainer, LearnsAndWritesABundleThatOpens) {
  const std::vector<TrainingProgress> reports = train("work", "out");
  ASSERT_EQ(reports.size(), 12U);
  EXPECT_EQ(reports[0].stage, "hearing");
  EXPECT_EQ(reports[5].step, 6);
  EXPECT_EQ(reports[6].stage, "joint");
  EXPECT_LT(reports[5].attribute_loss, reports[0].attribute_loss);
  EXPECT_LT(reports[11].answer_loss, reports[6].answer_loss);
  EXPECT_NEAR(reports[11].loss, reports[11].answer_loss + reports[11].attribute_loss, 1e-5);
  // Untrained, two classes cost ln 2 and an answer token ln V.
  EXPECT_NEAR(reports[0].attribute_loss, std::log(2.0), 0.3);
  const Bundle bundle = Bundle::open(folder_ / "out");
  EXPECT_EQ(bundle.sites().blocks.decoder, options_.shape.blocks);
  EXPECT_NEAR(reports[6].answer_loss, std::log(static_cast<double>(bundle.tokenizer().vocabulary_size())), 0.7);
  const std::string curve = [&] {
    std::ifstream file(folder_ / "work/loss.jsonl");
    return std::string(std::istreambuf_iterator<char>(file), {});
  }();
  EXPECT_GE(std::count(curve.begin(), curve.end(), '\n'), 12);
}

TEST_F(LalmTrainer, APauseAnywhereChangesNoByte) {
  train("straight", "a");
  const auto expected = files("a");
  EXPECT_GE(expected.size(), 9U);
  // In the first stage, on its last step, on the first of the second, off a checkpoint's beat.
  for (const int pause : {2, 6, 7, 11}) {
    const std::string work = fmt::format("paused{}", pause), out = fmt::format("b{}", pause);
    int seen = 0;
    try {
      train(work, out, 1, [&](const TrainingProgress&) { return ++seen < pause; });
      FAIL() << "the observer asked to stop";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInterrupted);
    }
    EXPECT_EQ(seen, pause);
    const std::vector<TrainingProgress> rest = train(work, out);
    EXPECT_EQ(rest.size(), static_cast<std::size_t>(12 - pause));
    EXPECT_EQ(files(out), expected) << "paused after step " << pause;
  }
}

TEST_F(LalmTrainer, AnyNumberOfThreadsGivesTheSameBytes) {
  train("one", "a", 1);
  train("two", "b", 2);
  EXPECT_EQ(files("a"), files("b"));
}

TEST_F(LalmTrainer, AnotherSeedGivesAnotherModel) {
  train("one", "a");
  options_.seed = 2;
  train("two", "b");
  EXPECT_NE(files("a").at("onnx/decoder_model_merged.onnx"), files("b").at("onnx/decoder_model_merged.onnx"));
}

TEST_F(LalmTrainer, RefusesACheckpointOfOtherOptionsOrAnotherCorpus) {
  int seen = 0;
  EXPECT_THROW(train("work", "a", 1, [&](const TrainingProgress&) { return ++seen < 3; }), Error);
  const auto refused = [&] {
    try {
      train("work", "a");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUser);
      return std::string(error.what());
    }
    return std::string("no error");
  };
  const LalmTrainingOptions options = options_;
  options_.joint.learning_rate = 2e-2;
  EXPECT_THAT(refused(), HasSubstr("checkpoint.h5"));
  options_ = options;
  options_.seed = 9;
  EXPECT_THAT(refused(), HasSubstr("checkpoint.h5"));
  options_ = options;
  const Corpus corpus = corpus_;
  std::vector<CorpusItem> items = corpus_.items();
  items.back().answer = "camel";
  corpus_ = Corpus(items);
  EXPECT_THAT(refused(), HasSubstr("checkpoint.h5"));
  corpus_ = corpus;
  EXPECT_EQ(train("work", "a").size(), 9U) << "the right ones go on";
}

TEST_F(LalmTrainer, RefusesOptionsThatMakeNoSense) {
  const LalmTrainingOptions good = options_;
  EXPECT_NO_THROW(good.validate());
  std::vector<LalmTrainingOptions> bad(6, good);
  bad[0].hearing.batch = 0;
  bad[1].joint.learning_rate = 0;
  bad[2].joint.text_share = 1;
  bad[3].checkpoint_every = 0;
  bad[4].clip_norm = 0;
  bad[5].weight_decay = -1;
  for (std::size_t i = 0; i < bad.size(); ++i) EXPECT_THROW(bad[i].validate(), Error) << i;
}

TEST_F(LalmTrainer, ACorpusThatTellsNoAttributeIsAnError) {
  std::vector<CorpusItem> items = corpus_.items();
  for (CorpusItem& item : items) item.label.clear();
  corpus_ = Corpus(items);
  EXPECT_THROW(train("work", "a"), Error);
}

}  // namespace
}  // namespace retune
