#include "recipes/study.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <memory>
#include <set>
#include <utility>

#include "adapters/patch_arithmetic.h"
#include "editors/registry.h"
#include "eval/answer_log.h"
#include "facts/json_text.h"
#include "facts/option_list.h"
#include "lalm/check.h"
#include "learning/site_weight.h"
#include "recipes/clip_check.h"
#include "recipes/export.h"
#include "recipes/forecast.h"
#include "recipes/identity.h"
#include "recipes/journal.h"
#include "recipes/study_folder.h"
#include "tensor/error.h"

namespace retune {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// The facts as the recipe means them.
FactSet scoped(const FactSet& facts, const Recipe& recipe) {
  const std::optional<Scope> scope = recipe.scope();
  if (!scope) return facts;
  std::vector<Fact> changed = facts.facts();
  for (Fact& fact : changed) fact.request.scope = *scope;
  return FactSet::of(std::move(changed), facts.sequences());
}

void check_mode(const Editor& editor, StudyMode mode, std::size_t facts) {
  const EditorInfo& info = editor.info();
  if (mode == StudyMode::kBatch && facts > 1 && !info.batch)
    throw user_error(
        "method '{}' puts one fact into a patch, the facts are {}; use mode single or sequential, or limit 1",
        info.word, facts);
  if (mode == StudyMode::kSequential && !info.sequential)
    throw user_error("method '{}' cannot edit a model that it has edited; use mode single or batch", info.word);
}

// Of what only the recipe and the facts name, too: the program checks its command line itself.
void check_apart(const EditRun& run, const FactSet& facts) {
  check_output_apart(run.out, run.model);
  if (const auto file = run.recipe.facts()) check_output_apart(run.out, *file);
  check_output_holds_no_clip(run.out, facts.probes());
  const auto corpus = run.recipe.corpus();
  if (!corpus) return;
  check_output_apart(run.out, *corpus);
  check_output_holds_not(run.out, run.recipe.corpus_audio_root().value_or(default_audio_root(*corpus).string()));
}

std::vector<Probe> probes_of(const FactSet& facts, const Cell& cell) {
  std::vector<Probe> probes;
  for (std::size_t i = cell.begin; i < cell.end; ++i)
    probes.insert(probes.end(), facts.facts()[i].probes.begin(), facts.facts()[i].probes.end());
  return probes;
}

// Everything that is known before the model is asked. Making it finds all that can be wrong with what the user
// supplied.
struct Work {
  FactSet facts;
  Bundle base;
  std::unique_ptr<const Editor> editor;
  std::optional<Corpus> corpus;
  std::optional<Clip> longest;  // of the facts' clips
  std::vector<Cell> cells;
  std::optional<std::size_t> exported;  // index of the cell
  std::vector<Site> sites;

  Work(const EditRun& run, ThreadPool& pool)
      : facts(scoped(run.facts, run.recipe)),
        base(Bundle::open(run.model)),
        editor(make_editor(run.recipe.method(), run.recipe.settings())),
        cells(cells_of(facts, run.recipe.mode())),
        sites(editor->sites(base)) {
    check_study_folder(run.out, run.existing);
    if (cells.empty()) throw user_error("there are no facts to edit");
    if (sites.empty())
      throw user_error("{}: the settings name no site to edit; name one of those that retune inspect lists",
                       run.recipe.name());
    check_mode(*editor, run.recipe.mode(), facts.facts().size());
    check_apart(run, facts);
    longest = check_clips(facts.clips(), pool, run.watch);
    if (const auto path = run.recipe.corpus()) {
      corpus = Corpus::load(*path, run.recipe.corpus_audio_root().value_or(default_audio_root(*path).string()));
      check_clips(corpus->clips(), pool, run.watch);
      refuse_shared_clips(*corpus, facts);
    }
    if (run.export_cell) {
      if (run.recipe.mode() == StudyMode::kBatch)
        throw user_error("mode batch makes one model, which is exported unasked; no edit {} can be chosen for export",
                         *run.export_cell);
      if (*run.export_cell < 1 || *run.export_cell > static_cast<std::int64_t>(cells.size()))
        throw user_error("there is no edit {} to export; the study has 1 to {}", *run.export_cell, cells.size());
      exported = static_cast<std::size_t>(*run.export_cell) - 1;
    } else if (run.recipe.mode() != StudyMode::kSingle && cells.size() == 1) {
      exported = 0;
    }
  }

  // Parameters that the edits reach: what they do not reach is computed once.
  std::vector<std::string> varying() const {
    std::set<std::string> names;
    for (const Site& site : sites)
      for (const DeltaTarget& target : site.targets)
        for (const std::string& name : parameters_of(base.view(), target)) names.insert(name);
    return {names.begin(), names.end()};
  }
};

// Does one cell after another.
class CellWorker {
 public:
  CellWorker(const EditRun& run, const Work& work, Session& session)
      : run_(run), work_(work), session_(session), decoding_(run.recipe.decoding()) {
    decoding_.varying = work.varying();
  }

  void prepare() {
    run_.watch.report({.stage = "prepare"});
    const Corpus* corpus = work_.corpus ? &*work_.corpus : nullptr;
    aids_ = work_.editor->prepare(session_, work_.base, corpus, steps_in("prepare", 0));
  }

  // Writes the cell's patches.
  CellResult work(const Cell& cell) {
    const StudyMode mode = run_.recipe.mode();
    CellResult result{.cell = cell.number, .patches = {}, .answers = {}, .notes = {}};
    const std::vector<fs::path> paths = patch_paths(cell, mode);
    if (mode == StudyMode::kSequential)
      edit_in_sequence(cell, paths, result);
    else
      edit_together(cell, paths.front(), result);
    return result;
  }

 private:
  const Fact& fact(std::size_t i) const { return work_.facts.facts()[i]; }

  StepObserver steps_in(const std::string& stage, std::int64_t cell) const {
    return [this, stage, cell](const StepReport& step) {
      run_.watch.report({stage, step.step, step.steps, cell, static_cast<std::int64_t>(work_.cells.size()), step.loss});
    };
  }

  std::vector<Asked> questions(const Bundle& bundle, std::span<const Probe> probes, const char* stage,
                               std::int64_t cell) const {
    return ask(session_, bundle, probes, decoding_, [&](std::size_t done) {
      run_.watch.report({stage, static_cast<std::int64_t>(done), static_cast<std::int64_t>(probes.size()), cell,
                         static_cast<std::int64_t>(work_.cells.size())});
    });
  }

  // Random numbers depend on the edit alone, so neither its place in the study nor the mode shifts them.
  Patch edit(const Bundle& bundle, std::span<const EditRequest> requests, std::int64_t cell) const {
    const std::string name = requests.size() == 1 ? requests[0].id : "batch";
    Patch patch = work_.editor->edit(session_, bundle, requests, aids_, Rng(run_.recipe.seed()).fork("edit").fork(name),
                                     steps_in("edit", cell));
    patch.recipe = run_.recipe.resolved().dump();
    patch.seed = run_.recipe.seed();
    return patch;
  }

  // Keeps the patch, and what it says of itself.
  void keep(const Patch& patch, const Bundle& edited, const fs::path& path, CellResult& result) const {
    fs::create_directories((run_.out / path).parent_path());
    patch.save(run_.out / path);
    result.patches.push_back(patch.id());
    double lost = 0;
    for (const std::string& name : edited.view().edited()) lost = std::max(lost, edited.view().rounding_share(name));
    auto notes = patch.notes;
    notes["rounding_share"] = {lost};
    result.notes.push_back(std::move(notes));
  }

  void edit_together(const Cell& cell, const fs::path& path, CellResult& result) const {
    std::vector<EditRequest> requests;
    for (std::size_t i = cell.begin; i < cell.end; ++i) requests.push_back(fact(i).request);
    const std::vector<Probe> probes = probes_of(work_.facts, cell);
    const std::vector<Asked> before = questions(work_.base, probes, "ask before", cell.number);
    const auto patch = std::make_shared<const Patch>(edit(work_.base, requests, cell.number));
    const Bundle edited = work_.base.with(patch);
    const std::vector<Asked> after = questions(edited, probes, "ask after", cell.number);
    for (std::size_t i = cell.begin, next = 0; i < cell.end; ++i)
      for (std::size_t j = 0; j < fact(i).probes.size(); ++j, ++next)
        result.answers.push_back(pair_up(probes[next], &fact(i).request, &before[next], &after[next], decoding_));
    keep(*patch, edited, path, result);
  }

  // A probe is asked of the base, right before its own
  // edit, right after it and after each of the next `gaps` edits (methods.md 8.7, 8.8).
  void edit_in_sequence(const Cell& cell, const std::vector<fs::path>& paths, CellResult& result) const {
    const std::size_t edits = cell.end - cell.begin;
    const auto gaps = static_cast<std::size_t>(run_.recipe.gaps());
    std::vector<std::vector<Asked>> before;
    std::vector<EditRequest> requests;
    for (std::size_t i = cell.begin; i < cell.end; ++i) {
      before.push_back(questions(work_.base, fact(i).probes, "ask before", cell.number));
      requests.push_back(fact(i).request);
    }
    Bundle current = work_.base;
    const auto ask_again = [&](std::size_t j, std::size_t applied) {
      const Fact& asked = fact(cell.begin + j);
      const std::vector<Asked> after = questions(current, asked.probes, "ask after", cell.number);
      for (std::size_t p = 0; p < asked.probes.size(); ++p) {
        AnswerRecord record = pair_up(asked.probes[p], &asked.request, &before[j][p], &after[p], decoding_);
        record.step = {static_cast<int>(cell.number - 1), static_cast<int>(j + 1), static_cast<int>(applied)};
        result.answers.push_back(std::move(record));
      }
    };
    for (std::size_t i = 0; i < edits; ++i) {
      if (i > 0) ask_again(i, i);
      const auto patch = std::make_shared<const Patch>(edit(current, std::span(requests).subspan(i, 1), cell.number));
      current = current.with(patch);
      keep(*patch, current, paths[i], result);
      for (std::size_t j = i > gaps ? i - gaps : 0; j <= i; ++j) ask_again(j, i + 1);
    }
    if (work_.cells.size() == 1) save_sum(current, requests);
  }

  // The stack as one patch on the base: the same model to within a rounding of f32 (adapters/patch_arithmetic.h).
  void save_sum(const Bundle& edited, std::span<const EditRequest> requests) const {
    Patch sum = diff(work_.base.view(), edited.view());
    sum.method = run_.recipe.method();
    sum.recipe = run_.recipe.resolved().dump();
    sum.facts = requests_text(requests);
    sum.seed = run_.recipe.seed();
    sum.save(run_.out / kPatchFile);
  }

  const EditRun& run_;
  const Work& work_;
  Session& session_;
  AskSettings decoding_;
  Prepared aids_;
};

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

bool patches_are_there(const CellResult& result, const Cell& cell, const EditRun& run, const Work& work) {
  const std::vector<fs::path> paths = patch_paths(cell, run.recipe.mode());
  if (result.patches.size() != paths.size()) return false;
  for (std::size_t i = 0; i < paths.size(); ++i)
    if (!is_patch(run.out / paths[i], &result.patches[i])) return false;
  const bool summed = run.recipe.mode() == StudyMode::kSequential && work.cells.size() == 1;
  return !summed || is_patch(run.out / kPatchFile, nullptr);
}

Progressed read_progress(const Journal& journal, const EditRun& run, const Work& work) {
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

void check_model(const EditRun& run, const Work& work, Session& session) {
  run.watch.report({.stage = "check"});
  require_checks(check_bundle(session, work.base, [&run](std::int64_t done, std::int64_t total) {
    run.watch.report({"check", done, total});
  }));
}

void add_timing(const EditRun& run, Session& session, std::int64_t cell, double seconds) {
  std::ofstream file(run.out / kTimingFile, std::ios::app);
  file << json_bytes({{"cell", cell},
                      {"seconds", seconds},
                      {"threads", session.pool().threads()},
                      {"peak_bytes", session.peak_bytes()}})
       << '\n';
  if (!file.flush()) throw failure("cannot write {}", (run.out / kTimingFile).string());
}

std::string summary_text(const EditReport& report, const EditRun& run, const Work& work) {
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

void collect(EditReport& report, const EditRun& run, const Work& work) {
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
  const Work work(run, session.pool());
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
    add_timing(run, session, cell.number, seconds_since(start));
  }
  collect(report, run, work);
  check_requirements(run, report.metrics);
  if (work.exported) {
    run.watch.report({.stage = "export"});
    const Cell& cell = work.cells[*work.exported];
    ExportRequest request{
        work.base, {},       probes_of(work.facts, cell), report.cells[*work.exported].answers, run.recipe.decoding(),
        run.out,   run.proof};
    for (const fs::path& path : patch_paths(cell, run.recipe.mode())) request.patches.push_back(run.out / path);
    ExportedModel exported = export_model(request, session, run.watch);
    report.bundle = exported.folder;
    report.answers_proven = exported.answers_proven;
    report.proof = std::move(exported.proof);
  }
  return report;
}

namespace {

// The corpus's item of the longest question.
Corpus largest_item(const Corpus& corpus) {
  return Corpus(
      {*std::max_element(corpus.items().begin(), corpus.items().end(), [](const CorpusItem& a, const CorpusItem& b) {
        return a.question.size() < b.question.size();
      })});
}

// What run_edit puts to its Session for one fact.
void rehearse_edit(const EditRun& run, const Work& work, const Fact& fact, Session& session) {
  check_bundle(session, work.base);
  AskSettings decoding = run.recipe.decoding();
  if (!fact.probes.empty()) decoding = rehearsed(decoding, work.base, fact.probes.front());
  decoding.varying = work.varying();
  ask(session, work.base, fact.probes, decoding);
  std::shared_ptr<const Patch> patch;
  try {
    const std::optional<Corpus> corpus = work.corpus ? std::optional(largest_item(*work.corpus)) : std::nullopt;
    const Prepared aids = work.editor->prepare(session, work.base, corpus ? &*corpus : nullptr);
    patch = std::make_shared<const Patch>(
        work.editor->edit(session, work.base, std::span(&fact.request, 1), aids, Rng(run.recipe.seed())));
  } catch (const Error& error) {
    // A method may find that rehearsed numbers cannot be; it has asked for its memory by then.
    if (error.code() != ErrorCode::kFailure) throw;
  }
  ask(session, patch ? work.base.with(patch) : work.base, fact.probes, decoding);
}

std::int64_t session_bytes(const EditRun& run, const Work& work, std::int64_t questions,
                           const SessionOptions& options) {
  const Fact fact = largest_fact(work.facts.facts(), work.longest);
  const auto rehearsal = [&](Session& session) { rehearse_edit(run, work, fact, session); };
  const auto of_fact = std::max<std::int64_t>(1, 2 * static_cast<std::int64_t>(fact.probes.size()));
  const std::int64_t times = (questions + of_fact - 1) / of_fact;
  return working_bytes(rehearsal, options.threads) +
         std::min(options.cache_bytes, times * kept_bytes(rehearsal, options.threads));
}

}  // namespace

EditPlan plan_edit(const EditRun& run, const SessionOptions& options) {
  constexpr std::int64_t kBytesPerAnswer = 8192;   // in the journal and in the results
  constexpr std::int64_t kBytesPerPatch = 65536;   // apart from its deltas
  constexpr std::int64_t kCopiesWhileEditing = 5;  // master, gradient, two moments, delta
  ThreadPool pool(options.threads);
  const Work work(run, pool);
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
  plan.disk_bytes = plan.cells * (floats + kBytesPerPatch) + plan.questions * kBytesPerAnswer;
  if (work.exported) {
    plan.exported_cell = work.cells[*work.exported].number;
    plan.disk_bytes += plan.model_bytes;
  }
  return plan;
}

FactSet fact_of(const fs::path& audio, const std::string& question, const std::string& answer) {
  Fact fact;
  EditRequest& request = fact.request;
  request.id = "fact";
  request.attribute = "fact";
  request.clip = Clip::at(audio);
  request.question = question;
  request.options = parse_options(question).answers();
  request.new_label = answer;
  if (question.empty() || answer.empty()) throw user_error("a fact needs a question and an answer");
  if (!request.options.empty() && find_label(request.options, answer) < 0)
    throw user_error("the answer '{}' is none of the question's options: {}", answer, fmt::join(request.options, ", "));
  Probe probe;
  probe.id = request.id + "/reliability";
  probe.request_id = request.id;
  probe.kind = ProbeKind::kReliability;
  probe.attribute = request.attribute;
  probe.track = request.attribute;
  probe.clip = request.clip;
  probe.question = question;
  probe.options = request.options;
  probe.answer = answer;
  fact.probes.push_back(std::move(probe));
  std::vector<Fact> facts;
  facts.push_back(std::move(fact));
  return FactSet::of(std::move(facts));
}

}  // namespace retune
