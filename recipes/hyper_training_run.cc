#include "recipes/hyper_training_run.h"

#include <algorithm>

#include "editors/editor.h"
#include "recipes/clip_check.h"
#include "recipes/forecast.h"
#include "recipes/study_folder.h"
#include "tensor/error.h"

namespace retune {

namespace {

namespace fs = std::filesystem;

struct HyperData {
  FactSet train, validation;
  std::optional<Clip> longest;
};

FactSet load_facts(const HyperRun& run, const char* part) {
  const fs::path file = run.data / part / "facts.json";
  if (!fs::exists(file))
    throw user_error("{} is not there; make data with retune synth and name their folder with --data", file.string());
  return FactSet::load(file);
}

Corpus clips_of(const FactSet& facts) {
  std::vector<CorpusItem> items;
  for (const ClipUse& use : facts.clips()) {
    items.emplace_back();
    items.back().clip = use.clip;
    items.back().question = use.user;
  }
  return Corpus(std::move(items));
}

HyperData load_data(const HyperRun& run, ThreadPool& pool) {
  HyperData data{load_facts(run, "train"), load_facts(run, "val"), std::nullopt};
  std::vector<ClipUse> uses = data.train.clips();
  const std::vector<ClipUse> more = data.validation.clips();
  uses.insert(uses.end(), more.begin(), more.end());
  data.longest = check_clips(uses, pool, run.watch);
  const Corpus learnt = clips_of(data.train);
  refuse_shared_clips(learnt, data.validation);
  if (fs::exists(run.data / "test" / "facts.json")) refuse_shared_clips(learnt, load_facts(run, "test"));
  return data;
}

std::vector<Site> sites_of(const HyperRun& run, const Bundle& bundle) {
  std::vector<Site> sites;
  for (const std::string& part : run.recipe.sites())
    for (Site& site : bundle.sites_in(part_in(bundle.sites(), part))) {
      const auto same = [&](const Site& other) { return other.name == site.name; };
      if (std::none_of(sites.begin(), sites.end(), same)) sites.push_back(std::move(site));
    }
  if (sites.empty()) throw user_error("{}: 'sites' names no site to edit", run.recipe.name());
  hyper_sites(sites);  // refuses what is no linear layer, before the work
  return sites;
}

void check_paths(const HyperRun& run) {
  for (const fs::path& source : {run.model, run.data}) {
    check_output_apart(run.out, source);
    check_output_apart(run.work, source);
  }
  check_output_apart(run.out, run.work);
  check_output_file(run.out, run.existing);
}

}  // namespace

std::vector<HyperValidation> run_hyper_training(const HyperRun& run, Session& session) {
  check_paths(run);
  Bundle bundle = Bundle::open(run.model);
  std::vector<Site> sites = sites_of(run, bundle);
  const HyperData data = load_data(run, session.pool());
  HyperTask task(session, std::move(bundle), std::move(sites));
  const HyperObserver observer{
      [&](const HyperProgress& progress) {
        if (run.watch.observer)
          run.watch.observer({progress.stage, progress.done, progress.total, 0, 0, progress.loss});
        return !run.watch.stopped();
      },
      run.validated};
  const HyperTrainingResult result =
      train_hyper_network(task, data.train, data.validation, run.recipe.training(), run.work, observer);
  result.file.save(run.out, run.recipe.stored());
  return result.validations;
}

HyperPlan plan_hyper_training(const HyperRun& run, int threads) {
  constexpr std::int64_t kFloat = 4;
  constexpr std::int64_t kCopiesKept = 5;  // weights, two moments, gradients of an edit and of a step
  check_paths(run);
  const Bundle bundle = Bundle::open(run.model);
  const std::vector<Site> sites = sites_of(run, bundle);
  ThreadPool pool(threads);
  const HyperData data = load_data(run, pool);
  HyperTrainingOptions options = run.recipe.training();
  HyperPlan plan;
  plan.steps = options.steps;
  plan.edits = options.steps * options.accumulate;
  options.steps = 1;
  options.accumulate = 1;
  const FactSet largest = FactSet::of({largest_fact(data.train.facts(), data.longest)});
  plan.session_bytes = working_bytes(
      [&](Session& session) {
        HyperTask task(session, bundle, sites);
        const HyperTrainingResult result = train_hyper_network(task, largest, largest, options, {}, {});
        plan.parameters = 0;
        for (const auto& [name, tensor] : result.file.state.parameters) plan.parameters += tensor.numel();
      },
      {.threads = threads});
  plan.memory_bytes = folder_bytes(run.model) + plan.session_bytes + kCopiesKept * plan.parameters * kFloat;
  plan.disk_bytes = (kCopiesKept - 1) * plan.parameters * kFloat;
  return plan;
}

}  // namespace retune
