// What a study is asked to do, and what is known of it before the model is asked.
//
//   EditRun run{.recipe = Recipe::load("recipes/rome.json"), .model = "demo/bundle",
//               .facts = FactSet::load("demo/facts.json"), .out = "out/rome"};
//   const EditWork work(run, session.pool());   // opened and checked; nothing was written
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "editors/editor.h"
#include "facts/clip.h"
#include "facts/corpus.h"
#include "facts/fact_set.h"
#include "facts/probe.h"
#include "lalm/bundle.h"
#include "lalm/bundle_proof.h"
#include "lalm/site.h"
#include "recipes/cell.h"
#include "recipes/progress.h"
#include "recipes/recipe.h"
#include "tensor/staged_output.h"
#include "tensor/thread_pool.h"

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

// A run with its files opened. Making it finds all that can be wrong with what the user supplied, as user errors: a
// folder that may not be used or that holds what is read, a mode that the method does not have, facts or corpus with a
// clip that is missing or cannot be heard, a clip that both share, no such export_cell.
struct EditWork {
  FactSet facts;  // as the recipe means them
  Bundle base;
  std::unique_ptr<const Editor> editor;
  std::optional<Corpus> corpus;
  std::optional<Clip> longest;  // of the facts' clips
  std::vector<Cell> cells;
  std::optional<std::size_t> exported;  // index of the cell
  std::vector<Site> sites;

  EditWork(const EditRun& run, ThreadPool& pool);

  // Of a cell's facts, in order.
  std::vector<Probe> probes_of(const Cell& cell) const;
  // Parameters that the edits reach: what they do not reach is computed once.
  std::vector<std::string> varying() const;
};

}  // namespace retune
