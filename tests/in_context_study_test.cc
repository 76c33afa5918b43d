// In-context editing as a study does it: in every mode, with its export, interrupted or not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/patch.h"
#include "eval/answer_log.h"
#include "facts/json_text.h"
#include "lalm/context.h"
#include "lalm/context_folder.h"
#include "recipes/edit_plan.h"
#include "recipes/evaluation.h"
#include "tests/tone_study.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Key;

class InContextStudy : public ToneStudy {
 protected:
  static Recipe recipe(const std::string& method, const std::string& more = "") {
    return Recipe::parse(R"({"method": ")" + method + R"(", "decoding": {"max_new_tokens": 4},
                             "metrics": {"bootstrap_samples": 50})" +
                             more + "}",
                         "test.json");
  }
  // Clips of their own, never the facts'.
  static std::string demonstrations() {
    const fs::path file = root() / "demonstrations" / "corpus.jsonl";
    fs::create_directories(file.parent_path());
    std::string lines;
    for (int i = 0; i < 2; ++i) {
      const std::string name = "shown_" + std::to_string(i) + ".flac";
      save_tone(file.parent_path() / name, 160.0 + 333.0 * i);
      lines += json_bytes({{"clip", name},
                           {"question", kToneQuestion},
                           {"answer", "high"},
                           {"attribute", "Pitch"},
                           {"old_label", "low"},
                           {"new_label", "high"},
                           {"kind", i == 0 ? "reliability" : "generality"},
                           {"instance", "Pitch-0007"}}) +
               "\n";
    }
    write_text(file, lines);
    return file.string();
  }
  static std::string corpus() { return R"(, "corpus": ")" + demonstrations() + R"(")"; }
};

TEST_F(InContextStudy, ABatchExportsThePromptAndTheUnchangedModel) {
  EditRun batch = edit("batch", recipe("ie-ike", corpus() + R"(, "mode": "batch")"));
  batch.facts = facts().limited(1);
  const EditReport report = run(batch);
  ASSERT_TRUE(report.proof);
  EXPECT_THAT(report.proof->files, IsEmpty());  // no model file was edited
  EXPECT_EQ(report.proof->logit_difference, 0);
  EXPECT_EQ(report.answers_proven, 3);
  EXPECT_EQ(report.context, batch.out / "context");
  for (const auto& [name, bytes] : files(root() / "bundle")) EXPECT_EQ(files(report.bundle).at(name), bytes) << name;

  // Whoever has the bundle and the context gets the measured answers.
  Session session({.threads = 1});
  const EvalReport again = run_eval({.model = report.bundle,
                                     .context = report.context,
                                     .base = root() / "bundle",
                                     .facts = batch.facts,
                                     .decoding = batch.recipe.decoding(),
                                     .metrics = batch.recipe.metrics()},
                                    session);
  EXPECT_EQ(again.answers, report.cells[0].answers);
  const Patch patch = Patch::load(batch.out / "patch.h5");
  ASSERT_TRUE(patch.context);
  EXPECT_EQ(patch.context->demonstrations().size(), 2U);
  EXPECT_EQ(report.cells[0].notes[0].at("demonstrations"), std::vector<double>{2});
  EXPECT_THAT(patch.recipe, HasSubstr("\"system_text\":\"1-"));  // the text's hash is in the results
}

TEST_F(InContextStudy, TextQuestionsHearTheMessageToo) {
  const EditReport report = run(edit("text", recipe("i-ike")));
  std::size_t text = 0;
  for (const CellResult& cell : report.cells)
    for (const AnswerRecord& record : cell.answers) {
      if (record.kind != ProbeKind::kTextLocality) continue;
      ++text;
      EXPECT_NE(record.first_token_kl, 0.0);
    }
  EXPECT_EQ(text, 3U);
}

TEST_F(InContextStudy, ASequenceListsItsEditsAndItsSumSaysTheSame) {
  EditRun sequence = edit("sequence", recipe("i-ike", R"(, "mode": "sequential")"));
  const EditReport report = run(sequence);
  EXPECT_EQ(report.cells[0].patches.size(), 3U);
  Bundle stacked = Bundle::open(root() / "bundle");
  for (int i = 1; i <= 3; ++i)
    stacked = stacked.with(
        std::make_shared<const Patch>(Patch::load(sequence.out / "edits" / ("000" + std::to_string(i)) / "patch.h5")));
  const Bundle summed =
      Bundle::open(root() / "bundle").with(std::make_shared<const Patch>(Patch::load(sequence.out / "patch.h5")));
  ASSERT_NE(stacked.context(), nullptr);
  EXPECT_EQ(stacked.context()->context.edits.size(), 1U);  // all three change the same label
  EXPECT_EQ(summed.context()->context.system_message(), stacked.context()->context.system_message());
  EXPECT_EQ(load_context(report.context).system_message(), stacked.context()->context.system_message());
}

struct Stopped : std::exception {};

TEST_F(InContextStudy, AnInterruptedExportEndsWithTheSameBytes) {
  const Recipe how = recipe("ie-ike", corpus() + R"(, "mode": "batch")");
  run(edit("whole", how));
  const auto expected = files(root() / "whole");
  EXPECT_THAT(expected, Contains(Key("context/context.json")));
  EXPECT_THAT(expected, Contains(Key("context/clips/002-shown_1.flac")));
  EditRun broken = edit("broken", how);
  int exports = 0;
  broken.watch.observer = [&](const Progress& progress) {
    if (progress.stage == "export" && ++exports == 3) throw Stopped();
  };
  EXPECT_THROW(run(broken), Stopped);
  EXPECT_FALSE(fs::exists(broken.out / "context"));  // not proven, so not left
  broken.watch.observer = {};
  run(broken);
  EXPECT_EQ(files(broken.out), expected);
}

TEST_F(InContextStudy, ADryRunSaysThatNoWeightMoves) {
  const EditPlan plan =
      plan_edit(edit("planned", recipe("ie-ike", corpus())), {.threads = 1, .cache_bytes = std::int64_t{1} << 30});
  EXPECT_THAT(plan.sites, IsEmpty());
  EXPECT_EQ(plan.edits, 3);
  EXPECT_GT(plan.session_bytes, 0);
  EXPECT_FALSE(fs::exists(root() / "planned"));
}

TEST_F(InContextStudy, ATestClipIsNeverShown) {
  const fs::path file = root() / "leak.jsonl";
  write_text(file, json_bytes({{"clip", "test_4.flac"},
                               {"question", kToneQuestion},
                               {"answer", "high"},
                               {"old_label", "low"},
                               {"new_label", "high"},
                               {"kind", "reliability"},
                               {"instance", "x"}}) +
                       "\n");
  const Error error =
      error_of([&] { run(edit("leak", recipe("ie-ike", R"(, "corpus": ")" + file.string() + R"(")"))); });
  EXPECT_EQ(error.code(), ErrorCode::kUser);
  EXPECT_THAT(error.what(), HasSubstr("which the facts test"));
}

}  // namespace
}  // namespace retune
