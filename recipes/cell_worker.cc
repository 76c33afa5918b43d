#include "recipes/cell_worker.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <utility>

#include "adapters/patch_arithmetic.h"
#include "adapters/patch_memory.h"
#include "learning/site_weight.h"
#include "recipes/study_folder.h"

namespace retune {

namespace fs = std::filesystem;

namespace {

// ||delta||_F / ||W||_F, with W the weight that the delta was added to.
double relative_norm(const TensorDelta& delta, const ModelView& beneath) {
  const DeltaTarget& target = delta.targets.at(0);
  const Tensor weight = stored_part(beneath.master(parameters_of(beneath, target).at(0)), delta.shape, target);
  double square = 0;
  for (const float item : weight.values<float>()) square += static_cast<double>(item) * static_cast<double>(item);
  return norm(delta) / std::sqrt(square);
}

}  // namespace

CellWorker::CellWorker(const EditRun& run, const EditWork& work, Session& session)
    : run_(run), work_(work), session_(session), decoding_(run.recipe.decoding()) {
  decoding_.varying = work.varying();
}

const Fact& CellWorker::fact(std::size_t i) const { return work_.facts.facts()[i]; }

StepObserver CellWorker::steps_in(const std::string& stage, std::int64_t cell) const {
  return [this, stage, cell](const StepReport& step) {
    run_.watch.report({stage, step.step, step.steps, cell, static_cast<std::int64_t>(work_.cells.size()), step.loss});
  };
}

std::vector<Asked> CellWorker::questions(const Bundle& bundle, std::span<const Probe> probes, const char* stage,
                                         std::int64_t cell) const {
  return ask(session_, bundle, probes, decoding_, [&](std::size_t done) {
    run_.watch.report({stage, static_cast<std::int64_t>(done), static_cast<std::int64_t>(probes.size()), cell,
                       static_cast<std::int64_t>(work_.cells.size())});
  });
}

// Random numbers depend on the edit alone, so neither its place in the study nor the mode shifts them.
Patch CellWorker::edit(const Bundle& bundle, std::span<const EditRequest> requests, std::int64_t cell) {
  const auto start = std::chrono::steady_clock::now();
  const std::string name = requests.size() == 1 ? requests[0].id : "batch";
  Patch patch = work_.editor->edit(session_, bundle, requests, aids_, Rng(run_.recipe.seed()).fork("edit").fork(name),
                                   steps_in("edit", cell));
  patch.recipe = run_.recipe.resolved().dump();
  patch.seed = run_.recipe.seed();
  edit_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return patch;
}

// Keeps the patch, and what it says of itself.
void CellWorker::keep(const Patch& patch, const Bundle& edited, const fs::path& path, CellResult& result) const {
  fs::create_directories((run_.out / path).parent_path());
  patch.save(run_.out / path);
  result.patches.push_back(patch.id());
  double lost = 0;
  for (const std::string& name : edited.view().edited()) lost = std::max(lost, edited.view().rounding_share(name));
  auto notes = patch.notes;
  notes["rounding_share"] = {lost};
  const Bundle beneath = edited.without_top();
  for (const TensorDelta& delta : patch.deltas) {
    notes["relative_norm"].push_back(relative_norm(delta, beneath.view()));
    if (const auto* factors = std::get_if<LowRankDelta>(&delta.values))
      notes["rank"].push_back(static_cast<double>(factors->u.shape()[1]));
  }
  result.notes.push_back(std::move(notes));
}

void CellWorker::edit_together(const Cell& cell, const fs::path& path, CellResult& result) {
  std::vector<EditRequest> requests;
  for (std::size_t i = cell.begin; i < cell.end; ++i) requests.push_back(fact(i).request);
  const std::vector<Probe> probes = work_.probes_of(cell);
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
void CellWorker::edit_in_sequence(const Cell& cell, const std::vector<fs::path>& paths, CellResult& result) {
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

// The stack as one patch on the base: the same model to within a rounding of f32 (adapters/patch_arithmetic.h), with
// what its patches remember.
void CellWorker::save_sum(const Bundle& edited, std::span<const EditRequest> requests) const {
  Patch sum = diff(work_.base.view(), edited.view());
  sum.method = run_.recipe.method();
  sum.recipe = run_.recipe.resolved().dump();
  sum.facts = requests_text(requests);
  sum.seed = run_.recipe.seed();
  remember_stack(sum, edited.view(), work_.base.view().patches().size());
  sum.save(run_.out / kPatchFile);
}

void CellWorker::prepare() {
  run_.watch.report({.stage = "prepare"});
  const Corpus* corpus = work_.corpus ? &*work_.corpus : nullptr;
  aids_ = work_.editor->prepare(session_, work_.base, corpus, steps_in("prepare", 0));
}

CellResult CellWorker::work(const Cell& cell) {
  edit_seconds_ = 0;
  const StudyMode mode = run_.recipe.mode();
  CellResult result{.cell = cell.number, .patches = {}, .answers = {}, .notes = {}};
  const std::vector<fs::path> paths = patch_paths(cell, mode);
  if (mode == StudyMode::kSequential)
    edit_in_sequence(cell, paths, result);
  else
    edit_together(cell, paths.front(), result);
  return result;
}

}  // namespace retune
