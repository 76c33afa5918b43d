#include "recipes/study.h"

#include <chrono>
#include <fstream>
#include <map>
#include <utility>

#include "eval/answer_log.h"
#include "facts/json_text.h"
#include "lalm/check.h"
#include "recipes/cell_worker.h"
#include "recipes/export.h"
#include "recipes/identity.h"
#include "recipes/journal.h"
#include "recipes/study_folder.h"
#include "tensor/error.h"

namespace retune {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// What earlier runs left: cells by number, and whether the model was checked.
struct Progressed {
  std::map<std::int64_t, CellResult> cells;
  bool checked = false;
};

// Whether the file holds a whole patch, of this id if one is given.
bool is_patch(const fs::path& file, const ContentHash* id) {
  try {
    const Patch patch = Patch::load(file);  // which compares its id with its content
    return id == nullptr || patch.id() == *id;
  } catch (const Error&) {
    return false;
  }
}

bool patches_are_there(const CellResult& result, const Cell& cell, const EditRun& run, const EditWork& work) {
  const std::vector<fs::path> paths = patch_paths(cell, run.recipe.mode());
  if (result.patches.size() != paths.size()) return false;
  for (std::size_t i = 0; i < paths.size(); ++i)
    if (!is_patch(run.out / paths[i], &result.patches[i])) return false;
  const bool summed = run.recipe.mode() == StudyMode::kSequential && work.cells.size() == 1;
  return !summed || is_patch(run.out / kPatchFile, nullptr);
}

Progressed read_progress(const Journal& journal, const EditRun& run, const EditWork& work) {
  Progressed progressed;
  const std::string place = (run.out / kJournalFile).string();
  for (const std::string& entry : journal.entries()) {
    if (entry == kCheckedEntry) {
      progressed.checked = true;
      continue;
    }
    CellResult result = parse_cell(entry, place);
    if (result.cell < 1 || result.cell > static_cast<std::int64_t>(work.cells.size()))
      throw user_error("{}: it holds a cell {}, the study has 1 to {}; start again in another folder", place,
                       result.cell, work.cells.size());
    // A cell whose patch was removed or damaged is done again, with the same bytes.
    if (patches_are_there(result, work.cells[static_cast<std::size_t>(result.cell) - 1], run, work))
      progressed.cells[result.cell] = std::move(result);
  }
  return progressed;
}

void check_model(const EditRun& run, const EditWork& work, Session& session) {
  run.watch.report({.stage = "check"});
  require_checks(check_bundle(session, work.base, [&run](std::int64_t done, std::int64_t total) {
    run.watch.report({"check", done, total});
  }));
}

void add_timing(const EditRun& run, Session& session, std::int64_t cell, double seconds, double edit_seconds) {
  std::ofstream file(run.out / kTimingFile, std::ios::app);
  file << json_bytes({{"cell", cell},
                      {"seconds", seconds},
                      {"edit_seconds", edit_seconds},
                      {"threads", session.pool().threads()},
                      {"peak_bytes", session.peak_bytes()}})
       << '\n';
  if (!file.flush()) throw failure("cannot write {}", (run.out / kTimingFile).string());
}

std::string summary_text(const EditReport& report, const EditRun& run, const EditWork& work) {
  Settings summary = Settings::parse(report_json(report.metrics));
  summary["method"] = run.recipe.method();
  summary["mode"] = mode_name(run.recipe.mode());
  Settings edits = Settings::array();
  for (std::size_t c = 0; c < work.cells.size(); ++c) {
    Settings requests = Settings::array();
    for (std::size_t i = work.cells[c].begin; i < work.cells[c].end; ++i)
      requests.push_back(work.facts.facts()[i].request.id);
    Settings patches = Settings::array();
    for (const ContentHash& patch : report.cells[c].patches) patches.push_back(patch.hex());
    edits.push_back({{"cell", work.cells[c].number},
                     {"requests", std::move(requests)},
                     {"patches", std::move(patches)},
                     {"notes", report.cells[c].notes}});
  }
  summary["edits"] = std::move(edits);
  return json_bytes(summary, 2) + "\n";
}

void collect(EditReport& report, const EditRun& run, const EditWork& work) {
  std::vector<AnswerRecord> answers;
  for (const CellResult& cell : report.cells) answers.insert(answers.end(), cell.answers.begin(), cell.answers.end());
  save_answers(run.out / kResultsFile, answers);
  report.metrics = score(answers, run.recipe.metrics());
  write_text(run.out / kSummaryFile, summary_text(report, run, work));
}

void check_requirements(const EditRun& run, const MetricReport& report) {
  std::vector<std::string> missed;
  for (const auto& [metric, least] : run.recipe.require()) {
    const Rate rate = score_of(report, metric);
    if (rate.items == 0)
      missed.push_back(fmt::format("{} has no items, required {}", metric, least));
    else if (!(rate.value >= least))
      missed.push_back(fmt::format("{} is {:.4f}, required {}", metric, rate.value, least));
  }
  if (!missed.empty())
    throw proof_error("a requirement of {} is missed: {}; no bundle was written, the answers are in {}",
                      run.recipe.name(), fmt::join(missed, "; "), (run.out / kResultsFile).string());
}

}  // namespace

EditReport run_edit(const EditRun& run, Session& session) {
  const EditWork work(run, session.pool());
  const ContentHash identity = study_identity(run.recipe, work.base, work.facts, work.corpus ? &*work.corpus : nullptr);
  CellWorker worker(run, work, session);
  const bool begun = Journal::is_of(run.out / kJournalFile, identity);
  if (!begun) {  // what is refused leaves no folder, and another study as it is
    check_model(run, work, session);
    worker.prepare();
  }
  Journal journal = open_study(run.out, identity, run.existing);
  Progressed progressed = read_progress(journal, run, work);
  if (!progressed.checked) {
    if (begun) check_model(run, work, session);
    journal.append(kCheckedEntry);
  }
  write_text(run.out / kRecipeFile, json_bytes(run.recipe.resolved(), 2) + "\n");

  EditReport report;
  report.resumed = static_cast<std::int64_t>(progressed.cells.size());
  if (begun && progressed.cells.size() < work.cells.size()) worker.prepare();
  for (const Cell& cell : work.cells) {
    const auto done = progressed.cells.find(cell.number);
    if (done != progressed.cells.end()) {
      report.cells.push_back(std::move(done->second));
      continue;
    }
    const Clock::time_point start = Clock::now();
    report.cells.push_back(worker.work(cell));
    journal.append(cell_text(report.cells.back()));
    add_timing(run, session, cell.number, seconds_since(start), worker.edit_seconds());
  }
  collect(report, run, work);
  check_requirements(run, report.metrics);
  if (work.exported) {
    run.watch.report({.stage = "export"});
    const Cell& cell = work.cells[*work.exported];
    ExportRequest request{
        work.base, {},       work.probes_of(cell), report.cells[*work.exported].answers, run.recipe.decoding(),
        run.out,   run.proof};
    for (const fs::path& path : patch_paths(cell, run.recipe.mode())) request.patches.push_back(run.out / path);
    ExportedModel exported = export_model(request, session, run.watch);
    report.bundle = exported.folder;
    report.context = exported.context;
    report.answers_proven = exported.answers_proven;
    report.proof = std::move(exported.proof);
  }
  return report;
}

}  // namespace retune
