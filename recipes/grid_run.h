// Runs the variants of a grid recipe one after another, each as an edit run of its own, and sets them side by side.
//
// Writes below `out`:
//   grid.json           the resolved recipe
//   VARIANT/            the edit run (study.h), without a bundle
//   table.json          the metrics of every variant, and of a grid the best
//   table.md            the same for people: the shape of SAKE's tables (methods.md 9.1) with intervals
//   timing.md           time and memory of each variant: machine facts
// A run that was interrupted goes on where it was. The same recipe, model and facts give the same bytes but for timing.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "eval/metric_report.h"
#include "graph/session.h"
#include "recipes/grid_recipe.h"
#include "recipes/progress.h"
#include "tensor/staged_output.h"

namespace retune {

struct GridRun {
  GridRecipe recipe;
  std::filesystem::path out;
  Existing existing = Existing::kRefuse;
  Watch watch = {};
};

struct GridRow {
  std::string name;
  std::string method;
  Settings chosen;  // of a grid
  MetricReport metrics;
  // Machine facts: medians over the cells that were worked on, of this run or those before it.
  double edit_seconds = 0;  // of an edit, without asking
  std::int64_t peak_bytes = 0;
};

struct GridReport {
  std::vector<GridRow> rows;  // in the order of the variants
  bool is_grid = false;
};

// User errors, before a variant is begun: a folder that holds something else, facts that are not there. Otherwise as
// run_edit, with the variant's name.
GridReport run_grid(const GridRun& run, const SessionOptions& options);

// Mean of reliability, generality, audio locality and text locality (micro scores, first judge; those without items
// left out): what a grid is searched for.
double overall_score(const MetricReport& report);
// Index of the row with the highest; the first of equal ones.
std::size_t best_row(const GridReport& report);

std::string grid_json(const GridReport& report);
std::string grid_table(const GridReport& report);    // Markdown
std::string timing_table(const GridReport& report);  // Markdown

}  // namespace retune
