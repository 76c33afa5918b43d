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
//   context/                   what an exported model is told before every question, by an in-context method
//   timing.jsonl               machine facts, the only file that differs between runs
// The same recipe, model, facts and seed give the same bytes, however often the run was interrupted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "eval/metric_report.h"
#include "graph/session.h"
#include "lalm/bundle_proof.h"
#include "recipes/cell.h"
#include "recipes/edit_run.h"

namespace retune {

struct EditReport {
  MetricReport metrics;
  std::vector<CellResult> cells;     // all, in order
  std::int64_t resumed = 0;          // of them, cells that an earlier run had done
  std::optional<BundleProof> proof;  // of the exported model
  std::int64_t answers_proven = 0;   // probes that the exported model, opened afresh, answered as measured
  std::filesystem::path bundle;      // where it lies; empty if none was exported
  std::filesystem::path context;     // the prompt that goes with it, of an in-context method; else empty
};

// User errors (before anything is written): a folder that may not be used or that holds what is read, a mode that the
// method does not have, facts or corpus with a clip that is missing or cannot be heard, a clip that both share, no such
// export_cell. Proof errors: a model that Retune does not read rightly (lalm/check.h), a requirement of the recipe that
// is missed (results and summary are kept, no bundle is left), an export that does not answer as measured. Interrupted:
// the watch's flag; run again to go on.
EditReport run_edit(const EditRun& run, Session& session);

}  // namespace retune
