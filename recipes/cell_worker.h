// Does one cell after another: asks, edits, asks again, keeps the patch.
//
//   CellWorker worker(run, work, session);
//   worker.prepare();
//   for (const Cell& cell : work.cells) results.push_back(worker.work(cell));
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "adapters/patch.h"
#include "editors/editor.h"
#include "eval/ask.h"
#include "facts/edit_request.h"
#include "facts/fact_set.h"
#include "facts/probe.h"
#include "graph/session.h"
#include "lalm/bundle.h"
#include "learning/step_observer.h"
#include "recipes/cell.h"
#include "recipes/edit_run.h"

namespace retune {

class CellWorker {
 public:
  // All three must outlive the worker.
  CellWorker(const EditRun& run, const EditWork& work, Session& session);

  // What the method needs before its first edit. Once, before work().
  void prepare();
  // Writes the cell's patches below run.out. Errors are those of asking, of the method and of writing; Interrupted by
  // the run's watch.
  CellResult work(const Cell& cell);
  // What the method took of the last cell's time; asking takes the rest.
  double edit_seconds() const { return edit_seconds_; }

 private:
  const Fact& fact(std::size_t i) const;
  StepObserver steps_in(const std::string& stage, std::int64_t cell) const;
  std::vector<Asked> questions(const Bundle& bundle, std::span<const Probe> probes, const char* stage,
                               std::int64_t cell) const;
  Patch edit(const Bundle& bundle, std::span<const EditRequest> requests, std::int64_t cell);
  void keep(const Patch& patch, const Bundle& edited, const std::filesystem::path& path, CellResult& result) const;
  void edit_together(const Cell& cell, const std::filesystem::path& path, CellResult& result);
  void edit_in_sequence(const Cell& cell, const std::vector<std::filesystem::path>& paths, CellResult& result);
  void save_sum(const Bundle& edited, std::span<const EditRequest> requests) const;

  const EditRun& run_;
  const EditWork& work_;
  Session& session_;
  AskSettings decoding_;
  Prepared aids_;
  double edit_seconds_ = 0;
};

}  // namespace retune
