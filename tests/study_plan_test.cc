// What --dry_run tells, against what the work then takes.
#include <gtest/gtest.h>

#include "recipes/edit_plan.h"
#include "recipes/evaluation.h"
#include "tests/tone_study.h"

namespace retune {
namespace {

class StudyPlan : public ToneStudy {};

// What a Session took is what was predicted, and not much less.
void expect_predicted(std::int64_t predicted, const Session& session, const std::string& what) {
  EXPECT_GE(predicted, session.peak_bytes()) << what;
  EXPECT_LE(predicted, 3 * session.peak_bytes()) << what;
}

// --dry_run counted weights and the whole of --memory, whatever the work was.
TEST_F(StudyPlan, PredictsTheMemoryOfEdits) {
  const Recipe rome = Recipe::parse(
      R"({"method": "rome", "settings": {"site": "decoder.block.1.mlp.down"}, "decoding": {"max_new_tokens": 4}})",
      "rome.json");
  for (const auto& [name, how] : {std::pair<std::string, Recipe>{"ft", recipe()}, {"rome", rome}}) {
    for (const char* mode : {"single", "sequential"}) {
      const EditRun what = edit("memory-" + name + mode, how.with("mode", mode));
      const EditPlan plan = plan_edit(what, {.threads = 2});
      EXPECT_GT(plan.memory_bytes, plan.session_bytes + plan.model_bytes);
      Session session({.threads = 2});
      run_edit(what, session);
      expect_predicted(plan.session_bytes, session, name + " " + mode);
    }
  }
}

TEST_F(StudyPlan, KeepsToTheBudget) {
  const EditRun what = edit("memory-budget", recipe());
  const std::int64_t none = plan_edit(what, {.threads = 2, .cache_bytes = 0}).session_bytes;
  const std::int64_t little = plan_edit(what, {.threads = 2, .cache_bytes = 4096}).session_bytes;
  EXPECT_EQ(little, none + 4096);
  EXPECT_GT(plan_edit(what, {.threads = 2}).session_bytes, little);
}

TEST_F(StudyPlan, PredictsTheMemoryOfAnEvaluation) {
  for (const bool compared : {false, true}) {
    EvalRun what{.model = root() / "bundle", .facts = facts(), .decoding = recipe().decoding()};
    if (compared) what.base = root() / "bundle";
    const EvalPlan plan = plan_eval(what, {.threads = 2});
    Session session({.threads = 2});
    run_eval(what, session);
    expect_predicted(plan.session_bytes, session, compared ? "with a base" : "alone");
  }
}

TEST_F(StudyPlan, PredictsTheMemoryOfTraining) {
  const TrainRun what = training("memory-bundle");
  const TrainPlan plan = plan_train(what);
  Session session({.threads = 2});
  run_train(what, session);
  expect_predicted(plan.session_bytes, session, "training");
}

TEST_F(StudyPlan, CountsWhatTheRunDoes) {
  for (const char* mode : {"single", "batch", "sequential"}) {
    const EditRun what = edit(std::string("plan-") + mode, recipe(R"(, "gaps": 1)").with("mode", mode));
    const EditPlan plan = plan_edit(what, {.threads = 2});
    EXPECT_FALSE(std::filesystem::exists(what.out));
    const EditReport report = run(what);
    std::size_t answers = 0;
    for (const CellResult& cell : report.cells) answers += cell.answers.size();
    EXPECT_EQ(plan.cells, static_cast<std::int64_t>(report.cells.size()));
    EXPECT_EQ(plan.edits, 3);
    EXPECT_EQ(plan.probes, 9);
    EXPECT_EQ(plan.questions, static_cast<std::int64_t>(answers) + 9);
    EXPECT_EQ(plan.sites.size(), 3U);
    EXPECT_GE(plan.disk_bytes, folder_bytes(what.out));
    EXPECT_EQ(plan.exported_cell.has_value(), report.proof.has_value());
  }
}

}  // namespace
}  // namespace retune
