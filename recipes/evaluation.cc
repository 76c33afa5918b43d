#include "recipes/evaluation.h"

#include <map>

#include "eval/answer_log.h"
#include "facts/json_text.h"
#include "facts/probe_file.h"
#include "recipes/clip_check.h"
#include "recipes/study_folder.h"
#include "tensor/error.h"

namespace retune {

namespace {

std::vector<Probe> probes_of(const EvalRun& run, ThreadPool& pool) {
  if (run.facts.has_value() != run.probes.empty())
    throw user_error("an evaluation needs either facts or probes, got {}", run.facts ? "both" : "neither");
  std::vector<Probe> probes = run.facts ? run.facts->probes() : run.probes;
  check_clips(run.facts ? run.facts->clips() : clips_of(probes), pool, run.watch);
  return probes;
}

// Parameters in which two models differ: what does not depend on them is computed once.
std::vector<std::string> differing(const Bundle& a, const Bundle& b) {
  std::vector<std::string> names;
  for (const auto& [name, feed] : a.parameters()) {
    const auto other = b.parameters().find(name);
    if (other == b.parameters().end() || other->second.version != feed.version) names.push_back(name);
  }
  return names;
}

std::vector<Asked> questions(const EvalRun& run, Session& session, const Bundle& bundle,
                             const std::vector<Probe>& probes, const AskSettings& decoding, const char* stage) {
  return ask(session, bundle, probes, decoding, [&](std::size_t done) {
    run.watch.report({stage, static_cast<std::int64_t>(done), static_cast<std::int64_t>(probes.size())});
  });
}

}  // namespace

EvalReport run_eval(const EvalRun& run, Session& session) {
  const std::vector<Probe> probes = probes_of(run, session.pool());
  const Bundle model = Bundle::open(run.model);
  std::optional<Bundle> base;
  if (run.base) base = Bundle::open(*run.base);
  std::optional<StagedFolder> staged;
  if (!run.out.empty()) {
    check_output_apart(run.out, run.model);
    if (run.base) check_output_apart(run.out, *run.base);
    staged.emplace(run.out, run.existing);
  }
  AskSettings decoding = run.decoding;
  if (base) decoding.varying = differing(*base, model);
  std::vector<Asked> before;
  if (base) before = questions(run, session, *base, probes, decoding, "ask before");
  const std::vector<Asked> after = questions(run, session, model, probes, decoding, "ask after");

  std::map<std::string, const EditRequest*> requests;
  if (run.facts)
    for (const Fact& fact : run.facts->facts()) requests[fact.request.id] = &fact.request;
  EvalReport report;
  for (std::size_t i = 0; i < probes.size(); ++i) {
    const auto request = requests.find(probes[i].request_id);
    report.answers.push_back(pair_up(probes[i], request != requests.end() ? request->second : nullptr,
                                     base ? &before[i] : nullptr, &after[i], decoding));
  }
  report.metrics = score(report.answers, run.metrics);
  if (staged) {
    save_answers(staged->path() / kResultsFile, report.answers);
    write_text(staged->path() / kSummaryFile, report_json(report.metrics));
    staged->commit();
  }
  return report;
}

EvalPlan plan_eval(const EvalRun& run, std::int64_t cache_bytes) {
  constexpr std::int64_t kBytesPerAnswer = 4096;
  EvalPlan plan;
  ThreadPool pool;
  plan.probes = static_cast<std::int64_t>(probes_of(run, pool).size());
  plan.questions = plan.probes * (run.base ? 2 : 1);
  Bundle::open(run.model);
  plan.model_bytes = folder_bytes(run.model);
  if (run.base) {
    Bundle::open(*run.base);
    plan.model_bytes += folder_bytes(*run.base);
  }
  plan.memory_bytes = plan.model_bytes + cache_bytes;
  if (!run.out.empty()) plan.disk_bytes = plan.questions * kBytesPerAnswer;
  return plan;
}

}  // namespace retune
