// Several edit recipes side by side, on a tiny model.
#include "recipes/grid_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "recipes/study.h"
#include "tests/tone_study.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class GridStudy : public ToneStudy {
 protected:
  void SetUp() override {
    folder_ = root() / testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::create_directories(folder_);
    std::vector<Fact> written = facts().facts();
    // SAKE's format reads a lone generality question as one of type 1, which these are not.
    for (Fact& fact : written)
      std::erase_if(fact.probes, [](const Probe& probe) { return probe.kind == ProbeKind::kGenerality; });
    FactSet::of(std::move(written)).save(folder_ / "facts.json");
    write("ft.json", R"({"method": "ft", "settings": {"sites": "decoder.block.1.mlp", "steps": 3},
                         "require": {"reliability": 1}})");
    write("rome.json", R"({"method": "rome", "settings": {"site": "decoder.block.1.mlp.down", "target_steps": 3}})");
  }

  void write(const std::string& name, const std::string& text) const { write_text(folder_ / name, text); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  GridRecipe study(const std::vector<std::string>& recipes, Settings more = Settings::object()) const {
    Settings given = {{"study", Settings::array()},
                      {"common",
                       {{"model", (root() / "bundle").string()},
                        {"facts", path("facts.json")},
                        {"audio_root", (root() / "audio").string()},
                        {"decoding", {{"max_new_tokens", 4}}},
                        {"metrics", {{"bootstrap_samples", 50}}}}}};
    for (const std::string& recipe : recipes) given["study"].push_back(path(recipe));
    given.update(more);
    return GridRecipe::parse(given.dump(), "study.json");
  }
  GridReport run(const GridRecipe& recipe, const std::string& out, Existing existing = Existing::kRefuse) const {
    return run_grid({.recipe = recipe, .out = folder_ / out, .existing = existing}, {.threads = 2});
  }

  fs::path folder_;
};

TEST_F(GridStudy, GivesEachRecipeItsOwnRow) {
  const GridReport report = run(study({"ft.json", "rome.json"}), "out");
  ASSERT_EQ(report.rows.size(), 2U);
  EXPECT_EQ(report.rows[1].method, "rome");
  // The row is what the edit run alone measures.
  EditRun alone = edit("alone", Recipe::load(folder_ / "out" / "rome" / kRecipeFile));
  alone.facts = FactSet::load(folder_ / "facts.json", {.audio_root = root() / "audio"});
  EXPECT_EQ(report_json(ToneStudy::run(alone).metrics), report_json(report.rows[1].metrics));
  const std::string table = read_text(folder_ / "out" / "table.md");
  for (const char* word : {"| unedited |", "| ft |", "| rome |", "Rel", "Pitch"}) EXPECT_THAT(table, HasSubstr(word));
  EXPECT_GT(report.rows[0].edit_seconds, 0);
  EXPECT_GT(report.rows[0].peak_bytes, 0);
}

TEST_F(GridStudy, TriesEverySettingOfTheGrid) {
  const GridRecipe recipe = study({"ft.json"}, {{"grid", {{"learning_rate", {0.0, 0.05}}, {"steps", {1, 2}}}}});
  ASSERT_EQ(recipe.variants().size(), 4U);
  EXPECT_EQ(recipe.variants()[2].name, "ft-03");
  EXPECT_EQ(recipe.variants()[2].recipe.settings().at("learning_rate"), 0.05);
  EXPECT_EQ(recipe.variants()[2].recipe.settings().at("steps"), 1);
  const GridReport report = run(recipe, "out");
  for (std::size_t i = 0; i < report.rows.size(); ++i)
    EXPECT_LE(overall_score(report.rows[i].metrics), overall_score(report.rows[best_row(report)].metrics)) << i;
  EXPECT_THAT(read_text(folder_ / "out" / "table.md"), HasSubstr("Best: " + report.rows[best_row(report)].name));
}

TEST_F(GridStudy, GoesOnToTheSameBytes) {
  const GridRecipe recipe = study({"ft.json", "rome.json"});
  run(recipe, "whole");
  std::atomic<bool> stop = false;
  GridRun run{.recipe = recipe, .out = folder_ / "torn"};
  run.watch.stop = &stop;
  run.watch.observer = [&](const Progress& progress) {
    stop = progress.stage.starts_with("rome") && progress.cell == 2;
  };
  EXPECT_EQ(error_of([&] { run_grid(run, {.threads = 2}); }).code(), ErrorCode::kInterrupted);
  stop = false;
  run.watch = {};
  run_grid(run, {.threads = 1});
  const auto kept = [](std::map<std::string, std::string> files) {
    std::erase_if(files, [](const auto& file) { return file.first.find("timing") != std::string::npos; });
    return files;
  };
  EXPECT_EQ(kept(files(folder_ / "torn")), kept(files(folder_ / "whole")));
}

TEST_F(GridStudy, RefusesAnotherStudysFolder) {
  run(study({"ft.json"}), "out");
  EXPECT_THAT(error_of([&] { run(study({"rome.json"}), "out"); }).what(), HasSubstr("something else than this study"));
  EXPECT_NO_THROW(run(study({"ft.json"}), "out"));
  EXPECT_NO_THROW(run(study({"rome.json"}), "out", Existing::kReplace));
}

TEST_F(GridStudy, TakesSoManyFactsOfEachAttribute) {
  const GridReport report = run(study({"ft.json"}, {{"facts_per_attribute", 2}}), "out");
  EXPECT_EQ(report.rows[0].metrics.requests, 2);
}

TEST_F(GridStudy, SaysWhatIsWrongWithARecipe) {
  const auto message = [&](const std::vector<std::string>& recipes, const Settings& more) {
    return std::string(error_of([&] { study(recipes, more); }).what());
  };
  EXPECT_THAT(message({}, Settings::object()), HasSubstr("names no recipe"));
  EXPECT_THAT(message({"ft.json", "ft.json"}, Settings::object()), HasSubstr("two recipes are named 'ft'"));
  EXPECT_THAT(message({"ft.json"}, {{"gird", Settings::object()}}), HasSubstr("did you mean 'grid'"));
  EXPECT_THAT(message({"ft.json"}, {{"grid", {{"stepz", {1}}}}}), HasSubstr("did you mean 'steps'"));
  EXPECT_THAT(message({"ft.json"}, {{"grid", {{"steps", 1}}}}), HasSubstr("must be a list of values"));
  EXPECT_THAT(message({"ft.json"}, {{"common", {{"method", "rome"}}}}), HasSubstr("belongs to each recipe"));
  EXPECT_THAT(message({"ft.json"}, {{"common", Settings::object()}}), HasSubstr("names no model"));
}

// The search for settings has a budget of sixteen a method.
TEST(ShippedStudies, AreRead) {
  int seen = 0;
  for (const auto& entry : fs::directory_iterator("recipes")) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("tune-") && name != "sake-table.json") continue;
    const GridRecipe recipe = GridRecipe::load(entry.path());
    EXPECT_EQ(recipe.is_grid(), name != "sake-table.json") << name;
    if (recipe.is_grid()) {
      EXPECT_LE(recipe.variants().size(), 16U) << name;
    }
    ++seen;
  }
  EXPECT_GT(seen, 1);
}

}  // namespace
}  // namespace retune
