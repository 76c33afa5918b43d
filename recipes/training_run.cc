#include "recipes/training_run.h"

#include <filesystem>

#include "audio/waveform.h"
#include "facts/corpus.h"
#include "facts/json_text.h"
#include "lalm/bundle.h"
#include "recipes/clip_check.h"
#include "recipes/forecast.h"
#include "recipes/study_folder.h"
#include "tensor/error.h"
#include "training/lalm_builder.h"

namespace retune {

namespace {

namespace fs = std::filesystem;

constexpr const char* kManifest = "synth.json";

fs::path corpus_file(const TrainRun& run) { return run.data / "train" / "corpus.jsonl"; }

// The data that are there must be those that the recipe describes.
void check_data(const TrainRun& run) {
  const auto wanted = run.recipe.resolved().find("synth");
  if (wanted == run.recipe.resolved().end()) return;
  const fs::path manifest = run.data / kManifest;
  if (!fs::exists(manifest))
    throw user_error("{} holds data that retune synth did not make; take \"synth\" out of {} to train on them",
                     run.data.string(), run.recipe.name());
  const nlohmann::json made = parse_json(read_text(manifest), manifest.string());
  for (const auto& [key, value] : wanted->items())
    if (!made.is_object() || !made.contains("options") || made.at("options").value(key, nlohmann::json()) != value)
      throw user_error("the data in {} were made with another '{}' than {} says; give another data folder",
                       run.data.string(), key, run.recipe.name());
}

// Whether the data must be made.
bool data_missing(const TrainRun& run) {
  if (fs::exists(corpus_file(run))) return false;
  if (!run.recipe.synth())
    throw user_error("{} is not there; make data with retune synth, or let {} say \"synth\"", corpus_file(run).string(),
                     run.recipe.name());
  return true;
}

void make_data(const TrainRun& run) {
  SynthOptions options = *run.recipe.synth();
  options.threads = run.threads;
  synthesise(options, run.data, [&](const SynthProgress& progress) {
    run.watch.report({std::string(progress.step), progress.done, progress.total});
  });
}

// What is known of the data before they are made, or of those that are there.
TrainingSizes sizes_of(const TrainRun& run, bool to_be_made) {
  constexpr double kFramesPerSecond = 100;  // of the mel front-end
  const auto frames_of = [](double seconds) { return static_cast<std::int64_t>(seconds * kFramesPerSecond) + 1; };
  const std::optional<SynthOptions> synth = run.recipe.synth();
  if (to_be_made) {
    // Longer than any that training/synth asks; its attributes have at most nine labels.
    constexpr std::int64_t kPromptTokens = 72, kAnswerTokens = 6, kLabels = 9;
    return {.frames = frames_of(synth->clip_seconds),
            .clips = synth->train_clips,
            .prompt = kPromptTokens,
            .answer = kAnswerTokens,
            .labels = std::vector<std::int64_t>(synth->attributes.size(), kLabels)};
  }
  const Corpus corpus = Corpus::load(corpus_file(run), run.data / "train" / "audio");
  if (synth) return training_sizes(corpus, run.recipe.training(), frames_of(synth->clip_seconds));
  ThreadPool pool(run.threads);
  const std::optional<Clip> longest = check_clips(corpus.clips(), pool, run.watch);
  const double seconds = longest ? load_waveform(longest->locate()).seconds() : 0;
  return training_sizes(corpus, run.recipe.training(), frames_of(seconds));
}

}  // namespace

void run_train(const TrainRun& run, Session& session) {
  check_output_apart(run.out, run.data);
  check_output_apart(run.out, run.work);
  StagedFolder staged(run.out, run.existing, bundle_marks());  // refused before the work, not after
  if (data_missing(run))
    make_data(run);
  else
    check_data(run);
  const Corpus corpus = Corpus::load(corpus_file(run), run.data / "train" / "audio");
  corpus.check_audio();
  train_lalm(corpus, run.recipe.training(), run.work, staged.path(), session, [&](const TrainingProgress& progress) {
    if (run.watch.observer) run.watch.observer({progress.stage, progress.step, progress.steps, 0, 0, progress.loss});
    return !run.watch.stopped();
  });
  staged.commit();
}

TrainPlan plan_train(const TrainRun& run) {
  check_output_apart(run.out, run.data);
  check_output_apart(run.out, run.work);
  constexpr std::int64_t kFloat = 4;
  constexpr std::int64_t kHalf = 2;
  constexpr std::int64_t kCopiesKept = 3;  // weights and two moments
  TrainPlan plan;
  const LalmTrainingOptions options = run.recipe.training();
  plan.steps = options.hearing.steps + options.joint.steps;
  LalmShape shape = options.shape;
  shape.vocabulary = options.vocabulary_size;
  shape.validate();
  const Rng rng(options.seed);
  for (const BuiltGraph& built :
       {build_audio_encoder(shape, drawn_weights(rng)), build_token_embedding(shape, drawn_weights(rng)),
        build_decoder(shape, drawn_weights(rng))})
    for (const auto& [name, feed] : built.parameters) plan.parameters += feed.tensor.numel();
  plan.makes_data = data_missing(run);
  if (!plan.makes_data) check_data(run);
  const TrainingSizes sizes = sizes_of(run, plan.makes_data);
  plan.session_bytes =
      working_bytes([&](Session& session) { rehearse_training(options, sizes, session); }, {.threads = run.threads});
  plan.memory_bytes =
      plan.session_bytes + plan.parameters * kFloat * kCopiesKept + sizes.clips * sizes.frames * shape.mel_bins * kHalf;
  plan.disk_bytes = plan.parameters * kFloat * (kCopiesKept + 1);
  if (!plan.makes_data) return plan;
  const SynthOptions synth = *run.recipe.synth();
  plan.clips = synth.train_clips;
  plan.disk_bytes += (synth.train_clips + synth.val_clips + synth.test_clips) *
                     static_cast<std::int64_t>(synth.clip_seconds * synth.rate_hz) * kHalf;
  return plan;
}

}  // namespace retune
