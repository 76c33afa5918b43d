#include "recipes/grid_run.h"

#include <algorithm>
#include <fstream>

#include "facts/fact_set.h"
#include "facts/json_text.h"
#include "recipes/study.h"
#include "recipes/study_folder.h"
#include "tensor/error.h"

namespace retune {

namespace {

namespace fs = std::filesystem;

constexpr const char* kGridFile = "grid.json";

FactSet facts_of(const GridRecipe& recipe) {
  const Recipe& first = recipe.variants().front().recipe;
  const FactSet facts = FactSet::load(*first.facts(), {.audio_root = first.audio_root().value_or("")});
  const auto each = recipe.facts_per_attribute();
  return each ? facts.limited_each(*each) : facts;
}

// Makes the folder ours, or goes on in one that is.
void open_folder(const GridRun& run) {
  const std::string text = json_bytes(run.recipe.resolved(), 2) + "\n";
  std::error_code ignored;
  const bool filled = fs::is_directory(run.out, ignored) && !fs::is_empty(run.out, ignored);
  if (filled && run.existing == Existing::kRefuse &&
      !(fs::is_regular_file(run.out / kGridFile, ignored) && read_text(run.out / kGridFile) == text))
    throw user_error("{} holds something else than this study; name another folder, or give --force", run.out.string());
  fs::create_directories(run.out);
  write_text(run.out / kGridFile, text);
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

// What the cells' lines say.
void read_timing(const fs::path& file, double edits_per_cell, GridRow& row) {
  std::vector<double> seconds;
  for (const JsonLine& line : parse_json_lines(read_text(file), file.string())) {
    if (!line.value.is_object()) continue;
    seconds.push_back(line.value.value("edit_seconds", 0.0) / edits_per_cell);
    row.peak_bytes = std::max(row.peak_bytes, line.value.value("peak_bytes", std::int64_t{0}));
  }
  row.edit_seconds = median(std::move(seconds));
}

// One variant's progress, with its name and its place.
Watch watch_of(const GridRun& run, std::size_t index) {
  const std::string prefix =
      fmt::format("{} ({} of {}): ", run.recipe.variants()[index].name, index + 1, run.recipe.variants().size());
  Watch watch{.observer = {}, .stop = run.watch.stop};
  if (run.watch.observer)
    watch.observer = [prefix, observer = run.watch.observer](Progress progress) {
      progress.stage = prefix + progress.stage;
      observer(progress);
    };
  return watch;
}

GridRow run_variant(const GridRun& run, std::size_t index, const FactSet& facts, const SessionOptions& options) {
  const GridVariant& variant = run.recipe.variants()[index];
  const fs::path out = run.out / variant.name;
  const EditRun edit{.recipe = variant.recipe,
                     .model = *variant.recipe.model(),
                     .facts = facts,
                     .out = out,
                     .export_cell = {},
                     .existing = run.existing,
                     .proof = {},
                     .watch = watch_of(run, index)};
  // A Session of its own: its peak is the variant's, and nothing that another left makes it faster.
  Session session(options);
  try {
    EditReport report = run_edit(edit, session);
    GridRow row{.name = variant.name,
                .method = variant.recipe.method(),
                .chosen = variant.chosen,
                .metrics = std::move(report.metrics)};
    const double cells = static_cast<double>(std::max<std::size_t>(report.cells.size(), 1));
    read_timing(out / kTimingFile, static_cast<double>(facts.facts().size()) / cells, row);
    return row;
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}: {}", variant.name, error.what()));
  }
}

}  // namespace

GridReport run_grid(const GridRun& run, const SessionOptions& options) {
  const FactSet facts = facts_of(run.recipe);
  open_folder(run);
  GridReport report{.rows = {}, .is_grid = run.recipe.is_grid()};
  for (std::size_t i = 0; i < run.recipe.variants().size(); ++i)
    report.rows.push_back(run_variant(run, i, facts, options));
  write_text(run.out / "table.json", grid_json(report));
  write_text(run.out / "table.md", grid_table(report));
  write_text(run.out / "timing.md", timing_table(report));
  return report;
}

}  // namespace retune
