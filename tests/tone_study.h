// A study small enough for tests: a model with a few thousand random weights that hears tones, and facts about them.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <numbers>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "audio/waveform.h"
#include "facts/json_text.h"
#include "recipes/study.h"
#include "recipes/study_folder.h"
#include "recipes/training_run.h"
#include "tensor/error.h"

namespace retune {

constexpr const char* kToneQuestion = "Which sound is this?\n\nOptions:\nlow\nhigh";

// A model of two decoder blocks, its data, and three facts about tones of their own.
class ToneStudy : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    std::filesystem::remove_all(root());
    std::filesystem::create_directories(root() / "data" / "train" / "audio");
    std::filesystem::create_directories(root() / "audio");
    std::ofstream corpus(root() / "data" / "train" / "corpus.jsonl");
    for (int i = 0; i < 4; ++i) {
      const std::string name = "tone_" + std::to_string(i) + ".flac";
      save_tone(root() / "data" / "train" / "audio" / name, 150.0 * (i + 1));
      const char* label = i < 2 ? "low" : "high";
      corpus << json_bytes({{"clip", name},
                            {"question", kToneQuestion},
                            {"answer", label},
                            {"attribute", "Pitch"},
                            {"class", label}})
             << '\n';
    }
    corpus << json_bytes({{"question", "What has a trunk?"}, {"answer", "elephant"}}) << '\n';
    corpus.close();
    Session session({.threads = 2});
    run_train(training("bundle"), session);
    for (int i = 0; i < 6; ++i) save_tone(root() / "audio" / ("test_" + std::to_string(i) + ".flac"), 170.0 * (i + 1));
  }

  static void TearDownTestSuite() { std::filesystem::remove_all(root()); }

  // Of this process: ctest runs several tests at a time.
  static std::filesystem::path root() {
    return std::filesystem::path(testing::TempDir()) / ("tone_study-" + std::to_string(getpid()));
  }

  static void save_tone(const std::filesystem::path& path, double hz) {
    Waveform tone{std::vector<float>(8000), 16000};
    for (std::size_t i = 0; i < tone.samples.size(); ++i)
      tone.samples[i] = static_cast<float>(0.5 * std::sin(2 * std::numbers::pi * hz * static_cast<double>(i) / 16000));
    save_waveform(path, tone);
  }

  static TrainRecipe train_recipe() {
    return TrainRecipe::parse(R"({"train": "lalm", "vocabulary_size": 300, "checkpoint_every": 1,
        "model": {"encoder_width": 16, "encoder_blocks": 1, "encoder_heads": 2, "encoder_hidden": 32,
                  "max_encoder_frames": 200, "connector_hidden": 32, "width": 16, "blocks": 2, "heads": 2,
                  "kv_heads": 1, "head_size": 8, "hidden": 32},
        "hearing": {"steps": 2, "batch": 2, "warmup_steps": 0}, "joint": {"steps": 3, "batch": 4, "warmup_steps": 0}})",
                              "tiny.json");
  }

  static TrainRun training(const std::string& name) {
    return {.recipe = train_recipe(), .data = root() / "data", .work = root() / (name + ".work"), .out = root() / name};
  }

  static Clip clip(int i) { return Clip::below(root() / "audio", "", "test_" + std::to_string(i) + ".flac"); }

  static Probe probe(const Fact& fact, ProbeKind kind, std::optional<Clip> sound, const std::string& question,
                     const std::string& answer) {
    Probe made;
    made.id = fact.request.id + "/" + kind_name(kind);
    made.request_id = fact.request.id;
    made.kind = kind;
    made.type = type_count(kind) > 0 ? 2 : 0;
    made.attribute = made.track = "Pitch";
    made.clip = std::move(sound);
    made.question = question;
    if (question == kToneQuestion) made.options = {"low", "high"};
    made.answer = answer;
    return made;
  }

  static FactSet facts() {
    std::vector<Fact> facts;
    for (int i = 0; i < 3; ++i) {
      Fact fact;
      fact.request = {.id = "Pitch-" + std::to_string(i),
                      .attribute = "Pitch",
                      .clip = clip(i),
                      .question = kToneQuestion,
                      .options = {"low", "high"},
                      .old_label = "low",
                      .new_label = "high"};
      fact.probes = {probe(fact, ProbeKind::kReliability, clip(i), kToneQuestion, "high"),
                     probe(fact, ProbeKind::kGenerality, clip(i + 3), kToneQuestion, "high"),
                     probe(fact, ProbeKind::kTextLocality, std::nullopt, "What has a trunk?", "elephant")};
      facts.push_back(std::move(fact));
    }
    return FactSet::of(std::move(facts));
  }

  // Fine-tuning that moves every weight it may, three steps.
  static Recipe recipe(const std::string& more = "") {
    return Recipe::parse(
        R"({"method": "ft", "settings": {"sites": "decoder.block.1.mlp", "steps": 3, "learning_rate": 0.05},
                             "decoding": {"max_new_tokens": 4}, "metrics": {"bootstrap_samples": 50})" +
            more + "}",
        "test.json");
  }

  static EditRun edit(const std::string& out, const Recipe& how) {
    return {.recipe = how, .model = root() / "bundle", .facts = facts(), .out = root() / out};
  }

  static EditReport run(const EditRun& what) {
    Session session({.threads = 2});
    return run_edit(what, session);
  }

  // Contents by relative path of all that must not differ between runs.
  static std::map<std::string, std::string> files(const std::filesystem::path& folder) {
    std::map<std::string, std::string> contents;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      const std::string name = entry.path().lexically_relative(folder).string();
      if (entry.is_regular_file() && name != kTimingFile) contents[name] = read_text(entry.path());
    }
    return contents;
  }

  template <class Action>
  static Error error_of(Action action) {
    try {
      action();
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "nothing was thrown";
    return {ErrorCode::kFailure, ""};
  }
};

}  // namespace retune
