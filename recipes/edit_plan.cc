#include "recipes/edit_plan.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <span>

#include "lalm/check.h"
#include "recipes/forecast.h"
#include "recipes/study_folder.h"
#include "tensor/error.h"

namespace retune {

namespace {

// The corpus's item of the longest question, and its demonstrations, of which an edit takes a few.
Corpus rehearsed_part(const Corpus& corpus) {
  const auto longest =
      std::max_element(corpus.items().begin(), corpus.items().end(),
                       [](const CorpusItem& a, const CorpusItem& b) { return a.question.size() < b.question.size(); });
  std::vector<CorpusItem> items = {*longest};
  for (const CorpusItem& item : corpus.items())
    if (item.demonstrates) items.push_back(item);
  return Corpus(std::move(items));
}

// Bytes of the sounds of the instance that has most: what a patch that shows one holds of them, at most.
std::int64_t shown_bytes(const Corpus& corpus) {
  std::map<std::string, std::int64_t> by_instance;
  std::int64_t most = 0;
  for (const CorpusItem& item : corpus.items()) {
    if (!item.demonstrates || !item.clip) continue;
    std::int64_t& bytes = by_instance[item.demonstrates->instance];
    bytes += static_cast<std::int64_t>(std::filesystem::file_size(item.clip->locate()));
    most = std::max(most, bytes);
  }
  return most;
}

// What run_edit puts to its Session for one fact.
void rehearse_edit(const EditRun& run, const EditWork& work, const Fact& fact, Session& session) {
  check_bundle(session, work.base);
  AskSettings decoding = run.recipe.decoding();
  if (!fact.probes.empty()) decoding = rehearsed(decoding, work.base, fact.probes.front());
  decoding.varying = work.varying();
  ask(session, work.base, fact.probes, decoding);
  std::shared_ptr<const Patch> patch;
  try {
    const std::optional<Corpus> corpus = work.corpus ? std::optional(rehearsed_part(*work.corpus)) : std::nullopt;
    Prepared aids = work.editor->prepare(session, work.base, corpus ? &*corpus : nullptr);
    aids.corpus = work.corpus;  // an edit chooses from all of it
    patch = std::make_shared<const Patch>(
        work.editor->edit(session, work.base, std::span(&fact.request, 1), aids, Rng(run.recipe.seed())));
  } catch (const Error& error) {
    // A method may find that rehearsed numbers cannot be; it has asked for its memory by then.
    if (error.code() != ErrorCode::kFailure) throw;
  }
  ask(session, patch ? work.base.with(patch) : work.base, fact.probes, decoding);
}

std::int64_t session_bytes(const EditRun& run, const EditWork& work, std::int64_t questions,
                           const SessionOptions& options) {
  const Fact fact = largest_fact(work.facts.facts(), work.longest);
  const auto rehearsal = [&](Session& session) { rehearse_edit(run, work, fact, session); };
  const auto of_fact = std::max<std::int64_t>(1, 2 * static_cast<std::int64_t>(fact.probes.size()));
  const std::int64_t times = (questions + of_fact - 1) / of_fact;
  return working_bytes(rehearsal, options) +
         std::min(options.cache_bytes, times * kept_bytes(rehearsal, options.threads));
}

}  // namespace

EditPlan plan_edit(const EditRun& run, const SessionOptions& options) {
  constexpr std::int64_t kBytesPerAnswer = 8192;   // in the journal and in the results
  constexpr std::int64_t kBytesPerPatch = 65536;   // apart from its deltas
  constexpr std::int64_t kCopiesWhileEditing = 5;  // master, gradient, two moments, delta
  ThreadPool pool(options.threads);
  const EditWork work(run, pool);
  EditPlan plan;
  plan.cells = static_cast<std::int64_t>(work.cells.size());
  plan.edits = static_cast<std::int64_t>(work.facts.facts().size());
  const bool sequential = run.recipe.mode() == StudyMode::kSequential;
  for (const Cell& cell : work.cells)
    for (std::size_t i = cell.begin; i < cell.end; ++i) {
      const auto probes = static_cast<std::int64_t>(work.facts.facts()[i].probes.size());
      const auto later = std::min<std::int64_t>(run.recipe.gaps(), static_cast<std::int64_t>(cell.end - i) - 1);
      const std::int64_t again = sequential ? (i > cell.begin ? 1 : 0) + 1 + later : 1;
      plan.probes += probes;
      plan.questions += probes * (1 + again);
    }
  std::int64_t elements = 0;
  for (const Site& site : work.sites) {
    plan.sites.push_back(site.name);
    elements += site.delta_shape.numel();
  }
  const std::int64_t floats = elements * static_cast<std::int64_t>(sizeof(float));
  plan.model_bytes = folder_bytes(run.model);
  plan.session_bytes = session_bytes(run, work, plan.questions, options);
  plan.memory_bytes = plan.model_bytes + plan.session_bytes + kCopiesWhileEditing * floats;
  const std::int64_t shown = work.corpus ? plan.edits * shown_bytes(*work.corpus) : 0;
  plan.disk_bytes = plan.cells * (floats + kBytesPerPatch) + shown + plan.questions * kBytesPerAnswer;
  if (work.exported) {
    plan.exported_cell = work.cells[*work.exported].number;
    plan.disk_bytes += plan.model_bytes;
  }
  return plan;
}

}  // namespace retune
