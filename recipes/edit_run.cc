#include "recipes/edit_run.h"

#include <algorithm>
#include <set>
#include <utility>

#include "editors/registry.h"
#include "learning/site_weight.h"
#include "recipes/clip_check.h"
#include "recipes/study_folder.h"
#include "tensor/error.h"

namespace retune {

namespace {

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

// The site itself, or for one without a weight the last before it that has one: what does not depend on that does not
// depend on the site's value.
const Site& weight_before(const SiteMap& map, const Site& site) {
  const auto same = [&](const Site& other) { return other.name == site.name; };
  auto at = std::find_if(map.sites.begin(), map.sites.end(), same);
  if (!site.targets.empty() || at == map.sites.end()) return site;
  while (at != map.sites.begin() && at->kind != Site::Kind::kLinear) --at;
  return *at;
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

}  // namespace

EditWork::EditWork(const EditRun& run, ThreadPool& pool)
    : facts(scoped(run.facts, run.recipe)),
      base(Bundle::open(run.model)),
      editor(make_editor(run.recipe.method(), run.recipe.settings())),
      cells(cells_of(facts, run.recipe.mode())),
      sites(editor->sites(base)) {
  check_study_folder(run.out, run.existing);
  if (cells.empty()) throw user_error("there are no facts to edit");
  if (sites.empty() && editor->info().moves_weights)
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

std::vector<Probe> EditWork::probes_of(const Cell& cell) const {
  std::vector<Probe> probes;
  for (std::size_t i = cell.begin; i < cell.end; ++i)
    probes.insert(probes.end(), facts.facts()[i].probes.begin(), facts.facts()[i].probes.end());
  return probes;
}

std::vector<std::string> EditWork::varying() const {
  std::set<std::string> names;
  for (const Site& site : sites)
    for (const DeltaTarget& target : weight_before(base.sites(), site).targets)
      for (const std::string& name : parameters_of(base.view(), target)) names.insert(name);
  return {names.begin(), names.end()};
}

}  // namespace retune
