// The straight line, walked cell by cell: edit, ask, keep, collect, export.
//
//   EditRun run{.recipe = Recipe::load("recipes/rome.json"), .model = "demo/bundle",
//               .facts = FactSet::load("demo/facts.json"), .out = "out/rome"};
//   Session session;
//   EditReport report = run_edit(run, session);
//
// Writes below `out`:
//   recipe.json                the resolved recipe
//   journal.jsonl              cells done (journal.h); the run may be killed at any moment and started again
//   edits/0001/patch.h5 ...    a patch an edit (single), on top of those before it (sequential)
//   patch.h5                   the one patch of a batch; the sum of one sequence
//   results.jsonl              every answer, in the order of cells (eval/answer_log.h)
//   summary.json               the metrics (eval/metric_report.h), and what each edit noted
//   bundle/, proof.json        where a model is exported
//   timing.jsonl               machine facts, the only file that differs between runs
// The same recipe, model, facts and seed give the same bytes, however often the run was interrupted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "eval/metric_report.h"
#include "facts/fact_set.h"
#include "graph/session.h"
#include "lalm/bundle.h"
#include "recipes/cell.h"
#include "recipes/progress.h"
#include "recipes/recipe.h"
#include "tensor/staged_output.h"

namespace retune {

struct EditRun {
  Recipe recipe;
  std::filesystem::path model;
  FactSet facts;
  std::filesystem::path out;
  // The cell whose model is exported, from 1. Batch and sequential runs of one cell export it unasked; in batch mode
  // none can be chosen.
  std::optional<std::int64_t> export_cell = {};
  // What may happen to a folder that holds something else than this study so far; kReplace removes another study's
  // files and leaves what is no study's. The study itself goes on in either case.
  Existing existing = Existing::kRefuse;
  std::optional<ProofMode> proof = {};  // how much of the export is read back (lalm/bundle_proof.h)
  Watch watch = {};
};

struct EditReport {
  MetricReport metrics;
  std::vector<CellResult> cells;     // all, in order
  std::int64_t resumed = 0;          // of them, cells that an earlier run had done
  std::optional<BundleProof> proof;  // of the exported model
  std::int64_t answers_proven = 0;   // probes that the exported model, opened afresh, answered as measured
  std::filesystem::path bundle;      // where it lies; empty if none was exported
};

// User errors (before anything is written): a folder that may not be used or that holds what is read, a mode that the
// method does not have, facts or corpus with a clip that is missing or cannot be heard, a clip that both share, no such
// export_cell. Proof errors: a model that Retune does not read rightly (lalm/check.h), a requirement of the recipe that
// is missed (results and summary are kept, no bundle is left), an export that does not answer as measured. Interrupted:
// the watch's flag; run again to go on.
EditReport run_edit(const EditRun& run, Session& session);

// What run_edit would do, found without writing anything or computing what it would: clips are decoded, and the work is
// rehearsed for its memory. The same user errors.
struct EditPlan {
  std::int64_t cells = 0;
  std::int64_t edits = 0;
  std::int64_t probes = 0;         // asked of the base and of the edited model; sequential mode asks some again
  std::int64_t questions = 0;      // put to a model in all
  std::vector<std::string> sites;  // whose weights move
  std::int64_t model_bytes = 0;    // mapped; not all of it need be in memory at a time
  std::int64_t session_bytes = 0;  // predicted peak of computed and kept values (forecast.h)
  std::int64_t memory_bytes = 0;   // model, session, f32 copies and optimiser of the sites
  std::int64_t disk_bytes = 0;     // at most: patches, answers, bundle
  std::optional<std::int64_t> exported_cell;
};
EditPlan plan_edit(const EditRun& run, const SessionOptions& options);

// One fact given on the command line, with its own question as its only probe. User error if the question lists options
// and the answer is none of them.
FactSet fact_of(const std::filesystem::path& audio, const std::string& question, const std::string& answer);

}  // namespace retune
