#include "recipes/evaluation.h"

#include <algorithm>
#include <map>
#include <set>

#include "eval/answer_log.h"
#include "facts/json_text.h"
#include "facts/probe_file.h"
#include "lalm/context_folder.h"
#include "recipes/clip_check.h"
#include "recipes/forecast.h"
#include "recipes/study_folder.h"
#include "tensor/error.h"

namespace retune {

namespace {

// The model that is measured.
Bundle model_of(const EvalRun& run) {
  const Bundle bundle = Bundle::open(run.model);
  return run.context ? with_context(bundle, load_context(*run.context)) : bundle;
}

struct Questions {
  std::vector<Probe> probes;
  std::optional<Clip> longest;  // clip
};

std::vector<Probe> probes_of(const EvalRun& run) {
  if (run.facts.has_value() != run.probes.empty())
    throw user_error("an evaluation needs either facts or probes, got {}", run.facts ? "both" : "neither");
  return run.facts ? run.facts->probes() : run.probes;
}

Questions listened_to(const EvalRun& run, std::vector<Probe> probes, ThreadPool& pool) {
  std::optional<Clip> longest = check_clips(run.facts ? run.facts->clips() : clips_of(probes), pool, run.watch);
  return {std::move(probes), std::move(longest)};
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

// What `models` models will be asked is not rehearsed whole: one clip with one question and with two tell what is kept
// of a clip and of a question.
std::int64_t session_bytes(const Bundle& model, const Questions& asked, const AskSettings& given, std::int64_t models,
                           const SessionOptions& options) {
  const Probe largest = largest_probe(asked.probes, asked.longest);
  const AskSettings decoding = rehearsed(given, model, largest);
  Probe another = largest;
  another.question.insert(0, "Now: ");
  const auto rehearsal = [&](const std::vector<Probe>& probes) {
    return [&model, &decoding, probes](Session& session) { ask(session, model, probes, decoding); };
  };
  const std::int64_t of_one = kept_bytes(rehearsal({largest}), options.threads);
  const std::int64_t of_question = kept_bytes(rehearsal({largest, another}), options.threads) - of_one;
  std::set<std::string> clips;
  for (const Probe& probe : asked.probes)
    if (probe.clip) clips.insert(probe.clip->name());
  const std::int64_t kept =
      models * (static_cast<std::int64_t>(asked.probes.size()) * of_question +
                static_cast<std::int64_t>(clips.size()) * std::max<std::int64_t>(0, of_one - of_question));
  return working_bytes(rehearsal({largest}), options) + std::min(options.cache_bytes, kept);
}

}  // namespace

EvalReport run_eval(const EvalRun& run, Session& session) {
  std::vector<Probe> asked = probes_of(run);
  const Bundle model = model_of(run);
  std::optional<Bundle> base;
  if (run.base) base = Bundle::open(*run.base);
  std::optional<StagedFolder> staged;
  if (!run.out.empty()) {
    check_output_apart(run.out, run.model);
    if (run.base) check_output_apart(run.out, *run.base);
    if (run.context) check_output_apart(run.out, *run.context);
    check_output_holds_no_clip(run.out, asked);
    staged.emplace(run.out, run.existing,
                   FolderMarks{.holds = {kResultsFile, kSummaryFile}, .holds_none = {kJournalFile}});  // not a study
  }
  const std::vector<Probe> probes = listened_to(run, std::move(asked), session.pool()).probes;
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

EvalPlan plan_eval(const EvalRun& run, const SessionOptions& options) {
  constexpr std::int64_t kBytesPerAnswer = 4096;
  EvalPlan plan;
  ThreadPool pool(options.threads);
  const Questions asked = listened_to(run, probes_of(run), pool);
  plan.probes = static_cast<std::int64_t>(asked.probes.size());
  plan.questions = plan.probes * (run.base ? 2 : 1);
  const Bundle model = model_of(run);
  plan.model_bytes = folder_bytes(run.model);
  AskSettings decoding = run.decoding;
  if (run.base) {
    decoding.varying = differing(Bundle::open(*run.base), model);
    plan.model_bytes += folder_bytes(*run.base);
  }
  plan.session_bytes = session_bytes(model, asked, decoding, run.base ? 2 : 1, options);
  plan.memory_bytes = plan.model_bytes + plan.session_bytes;
  if (!run.out.empty()) plan.disk_bytes = plan.questions * kBytesPerAnswer;
  return plan;
}

}  // namespace retune
