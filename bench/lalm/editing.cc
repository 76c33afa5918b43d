// Works of the editors, by their own mechanisms. Every run has other prompts, so that nothing is left of the one before
// but what a study would find too: the plans.
#include <numeric>

#include "audio/waveform.h"
#include "bench/lalm/process_memory.h"
#include "bench/lalm/works.h"
#include "editors/mechanisms/target_optimizer.h"
#include "editors/registry.h"
#include "facts/fact_set.h"
#include "lalm/answer.h"
#include "learning/fine_tuning.h"
#include "tensor/error.h"

namespace retune::bench {

namespace {

constexpr std::int64_t kAnswer = 4;  // tokens, of fine-tuning
constexpr std::int64_t kTarget = 2;  // tokens, of the target vector

struct Views {
  std::vector<ContextView> views;
  PromptView neutral;  // about the sound of the first
};

// The last target token is predicted, not read.
Views views_of(const Bundle& bundle, const Sizes& sizes, std::int64_t slots, std::uint64_t seed) {
  const std::int64_t length = sizes.positions - kTarget + 1, count = sizes.batch - 1;
  Views result;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint64_t own = seed + static_cast<std::uint64_t>(i);
    // Sounds differ and the question is the same, or there is no sound and what stands before the question differs.
    Prompt prompt = slots > 0 ? sound_prompt(bundle, random_clip(bundle, sizes.frames, own), slots, length, seed)
                              : text_prompt(bundle, length, own);
    const double weight = count == 1 ? 1 : i == 0 ? 0.5 : 0.5 / static_cast<double>(count - 1);
    result.views.push_back({{std::move(prompt)}, weight, "view"});
  }
  const std::uint64_t other = seed + static_cast<std::uint64_t>(count);
  result.neutral = {slots > 0 ? sound_prompt(bundle, result.views[0].view.prompt.audio, slots, length, other)
                              : text_prompt(bundle, length, other)};
  return result;
}

void find_target_vector(Session& session, const Bundle& bundle, const LossGraphs& losses, const Sizes& sizes,
                        const Views& views) {
  const Site site = bundle.site(fmt::format("decoder.block.{}.mlp.down", sizes.block));
  const Selector selector = parse_selector("last_prompt");
  const std::vector<SiteReading> readings = read_site(session, bundle, site, selector, views.views);
  TargetProblem problem{site, views.views, readings, random_ids(bundle, kTarget, 1), views.neutral, std::nullopt};
  problem.kl_reading = read_site(session, bundle, site, selector, views.neutral);
  optimize_target(session, bundle, losses, problem,
                  {.steps = sizes.steps, .learning_rate = 0.5, .clamp = 10, .stop_loss = 0});
}

struct RomeEdits {
  std::vector<EditRequest> requests;
  std::unique_ptr<const Editor> editor;
  Prepared prepared;
};

RomeEdits rome_edits(Session& session, const Bundle& bundle, const Sizes& sizes) {
  RomeEdits edits;
  edits.requests = FactSet::load(sizes.facts).requests();
  edits.editor = make_editor(
      "rome",
      {{"target_steps", sizes.steps}, {"target_stop_loss", 0.0}, {"target_learning_rate", 0.5}, {"target_clamp", 10}});
  edits.prepared = edits.editor->prepare(session, bundle, nullptr);
  return edits;
}

}  // namespace

Measurement fine_tuning(const Contender& contender) {
  const Bundle bundle = Bundle::open(contender.folder);
  Session session({.threads = contender.threads});
  const Sizes& sizes = contender.sizes;
  const LossGraphs losses = loss_graphs(bundle);
  const std::vector<Site> sites = bundle.sites_in(fmt::format("decoder.block.{}.mlp", sizes.block));
  const std::vector<std::int64_t> target = random_ids(bundle, kAnswer, 1);
  std::uint64_t seed = 1;
  return timed(session, sizes.repeats, [&] {
    const Lesson lesson{text_prompt(bundle, sizes.positions - kAnswer + 1, ++seed), target, 1, Objective::kTargetNew};
    fine_tune(session, bundle, losses, sites, {lesson}, {.steps = sizes.steps, .stop_loss = 0});
  });
}

Measurement target_vector(const Contender& contender) {
  const Bundle bundle = Bundle::open(contender.folder);
  Session session({.threads = contender.threads});
  const Sizes& sizes = contender.sizes;
  const LossGraphs losses = loss_graphs(bundle);
  const std::int64_t slots = sizes.clips > 0 ? audio_slots(session, bundle, sizes.frames) : 0;
  std::vector<Views> views;  // of each run; made beforehand
  for (int run = 0; run < sizes.repeats.warm_up + sizes.repeats.runs; ++run)
    views.push_back(views_of(bundle, sizes, slots, 1 + static_cast<std::uint64_t>(run * sizes.batch)));
  std::size_t next = 0;
  return timed(session, sizes.repeats, [&] { find_target_vector(session, bundle, losses, sizes, views.at(next++)); });
}

Measurement rome_edit(const Contender& contender) {
  const Bundle bundle = Bundle::open(contender.folder);
  Session session({.threads = contender.threads});
  const RomeEdits edits = rome_edits(session, bundle, contender.sizes);
  const EditRequest& first = edits.requests.at(0);
  const Prompt prompt = prompt_for(session, bundle, first.question, load_waveform(first.clip.locate()));
  std::size_t next = 0;
  Measurement result = timed(session, contender.sizes.repeats, [&] {
    const EditRequest& request = edits.requests[next++ % edits.requests.size()];
    edits.editor->edit(session, bundle, {&request, 1}, edits.prepared, Rng(1));
  });
  result.facts["positions"] = static_cast<double>(prompt.length());
  return result;
}

Measurement edit_memory(const Contender& contender) {
  const Bundle bundle = Bundle::open(contender.folder);
  Session session({.threads = contender.threads});
  const RomeEdits edits = rome_edits(session, bundle, contender.sizes);
  const Stopwatch watch;
  const PeakOfAnonymousMemory peak;
  session.profile(contender.sizes.repeats.profile);
  edits.editor->edit(session, bundle, {&edits.requests.at(0), 1}, edits.prepared, Rng(1));
  Measurement result{.unit = "GiB", .values = {peak_resident_gib()}};
  result.beside["without the mapped weights"] = {peak.gib()};
  result.facts["seconds"] = watch.seconds();
  if (contender.sizes.repeats.profile) result.profile = profile_of(session, 1);
  return result;
}

}  // namespace retune::bench
