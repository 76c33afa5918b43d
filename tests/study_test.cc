// The straight line from end to end, on a model that is made here.
#include "recipes/study.h"
#include "recipes/edit_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "audio/waveform.h"
#include "eval/answer_log.h"
#include "facts/json_text.h"
#include "recipes/evaluation.h"
#include "recipes/study_folder.h"
#include "recipes/training_run.h"
#include "tensor/error.h"
#include "tests/tone_study.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::HasSubstr;
using testing::Key;

class Study : public ToneStudy {};

struct Stopped : std::exception {};

TEST_F(Study, AnInterruptedRunEndsWithTheBytesOfAnUninterruptedOne) {
  EditRun whole = edit("whole", recipe());
  whole.export_cell = 2;
  int moments = 0, first_of_second_cell = 0;
  whole.watch.observer = [&](const Progress& progress) {
    if (progress.cell == 2 && first_of_second_cell == 0) first_of_second_cell = moments;
    ++moments;
  };
  const EditReport report = run(whole);
  EXPECT_EQ(report.cells.size(), 3U);
  EXPECT_EQ(report.resumed, 0);
  EXPECT_EQ(report.answers_proven, 3);
  const auto expected = files(whole.out);
  EXPECT_THAT(expected, Contains(Key("edits/0003/patch.h5")));
  EXPECT_THAT(expected, Contains(Key("bundle/onnx/decoder_model_merged.onnx")));

  for (int part = 0; part < 6; ++part) {
    EditRun broken = edit("broken-" + std::to_string(part), recipe());
    broken.export_cell = 2;
    const int stopped_at = moments * part / 6;
    int left = stopped_at;
    broken.watch.observer = [&](const Progress&) {
      if (left-- <= 0) throw Stopped();
    };
    EXPECT_THROW(run(broken), Stopped);
    if (fs::exists(broken.out)) write_text(broken.out / "summary.json.partial-1-0", "torn");  // as a kill leaves it
    broken.watch.observer = {};
    EXPECT_EQ(run(broken).resumed > 0, stopped_at >= first_of_second_cell) << part;
    EXPECT_EQ(files(broken.out), expected) << part;
    EXPECT_EQ(run(broken).resumed, 3);
    EXPECT_EQ(files(broken.out), expected) << part;
  }
}

TEST_F(Study, TheBaseIsTheSameAfterEveryEdit) {
  const EditReport report = run(edit("single", recipe()));
  // Each edit was made alone: its patch and its answers are those of a study of that fact only.
  EditRun alone = edit("alone", recipe());
  alone.facts = FactSet::of({facts().facts()[2]});
  const EditReport third = run(alone);
  EXPECT_EQ(third.cells[0].patches, report.cells[2].patches);
  EXPECT_EQ(third.cells[0].answers, report.cells[2].answers);
}

TEST_F(Study, ABatchOfOneIsTheSingleEditWithItsBundle) {
  EditRun batch = edit("batch", recipe(R"(, "mode": "batch", "require": {"reliability": 0})"));
  batch.facts = facts().limited(1);
  const EditReport report = run(batch);
  EXPECT_TRUE(fs::exists(batch.out / "patch.h5"));
  ASSERT_TRUE(report.proof);
  EXPECT_EQ(report.proof->logit_difference, 0);
  EXPECT_EQ(report.answers_proven, 3);
  EditRun single = batch;
  single.recipe = batch.recipe.with("mode", "single");
  single.out = root() / "single-of-one";
  EXPECT_EQ(run(single).cells[0].answers, report.cells[0].answers);

  // The bundle, asked afresh beside its base, gives the answers that were measured.
  Session session({.threads = 1});
  const EvalReport again = run_eval({.model = report.bundle,
                                     .base = root() / "bundle",
                                     .facts = batch.facts,
                                     .decoding = batch.recipe.decoding(),
                                     .metrics = batch.recipe.metrics()},
                                    session);
  EXPECT_EQ(again.answers, report.cells[0].answers);
  EXPECT_EQ(report_json(again.metrics), report_json(report.metrics));
}

TEST_F(Study, ResultsReadBackAsTheReport) {
  const EditRun what = edit("results", recipe());
  const EditReport report = run(what);
  EXPECT_EQ(report_json(score(load_answers(what.out / kResultsFile), what.recipe.metrics())),
            report_json(report.metrics));
  const auto summary = parse_json(read_text(what.out / kSummaryFile), "summary");
  EXPECT_EQ(summary.at("edits").at(1).at("requests").at(0), "Pitch-1");
  EXPECT_EQ(summary.at("edits").at(1).at("notes").at(0).at("updates").at(0), 3);
  EXPECT_EQ(Recipe::load(what.out / kRecipeFile).resolved(), what.recipe.resolved());
}

TEST_F(Study, EditingTheConnectorLeavesTextAlone) {
  const EditReport report = run(
      edit("connector", recipe().with("settings", {{"sites", "connector"}, {"steps", 2}, {"learning_rate", 0.05}})));
  for (const CellResult& cell : report.cells)
    for (const AnswerRecord& record : cell.answers) {
      if (record.kind != ProbeKind::kTextLocality) continue;
      EXPECT_EQ(record.before, record.after);
      EXPECT_EQ(record.first_token_kl, 0.0);
    }
}

TEST_F(Study, ASequenceIsAskedAtEveryGap) {
  const EditRun what = edit("sequence", recipe(R"(, "mode": "sequential", "gaps": 1)"));
  const EditReport report = run(what);
  ASSERT_EQ(report.cells.size(), 1U);
  std::map<std::pair<int, int>, int> asked;
  for (const AnswerRecord& record : report.cells[0].answers) {
    ASSERT_TRUE(record.step);
    ++asked[{record.step->position, record.step->edits_applied}];
  }
  // Edit 1 after 1 and 2; edit 2 before itself, after itself and after 3; edit 3 before and after itself: 3 probes
  // each.
  const std::map<std::pair<int, int>, int> expected = {{{1, 1}, 3}, {{1, 2}, 3}, {{2, 1}, 3}, {{2, 2}, 3},
                                                       {{2, 3}, 3}, {{3, 2}, 3}, {{3, 3}, 3}};
  EXPECT_EQ(asked, expected);
  EXPECT_TRUE(report.metrics.sequential);
  EXPECT_EQ(report.cells[0].notes.size(), 3U);
  EXPECT_EQ(report.answers_proven, 6);  // of edits 2 and 3, which were asked after the last

  // The sum of the stack is the same model, to within a rounding of f32.
  const Bundle base = Bundle::open(root() / "bundle");
  const Bundle summed = base.with(std::make_shared<const Patch>(Patch::load(what.out / kPatchFile)));
  const Bundle exported = Bundle::open(report.bundle);
  for (const auto& [name, feed] : exported.parameters()) {
    const std::vector<double> wanted = feed.tensor.to_f64();
    const std::vector<double> got = summed.parameters().find(name)->second.tensor.to_f64();
    for (std::size_t i = 0; i < wanted.size(); ++i) ASSERT_NEAR(got[i], wanted[i], 1e-6) << name;
  }
}

TEST_F(Study, AMissedRequirementLeavesNoBundle) {
  EditRun what = edit("missed", recipe(R"(, "mode": "batch", "require": {"portability": 0.5})"));
  const Error error = error_of([&] { run(what); });
  EXPECT_EQ(error.code(), ErrorCode::kProof);
  EXPECT_THAT(error.what(), HasSubstr("portability has no items"));
  EXPECT_FALSE(fs::exists(what.out / kBundleFolder));
  EXPECT_TRUE(fs::exists(what.out / kResultsFile));
  EXPECT_EQ(error_of([&] { run(what); }).code(), ErrorCode::kProof) << "the same when it is run again";
}

TEST_F(Study, AnotherStudyDoesNotGoOnInTheSameFolder) {
  EditRun what = edit("taken", recipe());
  what.facts = facts().limited(1);
  run(what);
  what.recipe = what.recipe.with("seed", 2);
  const Error error = error_of([&] { run(what); });
  EXPECT_EQ(error.code(), ErrorCode::kUser);
  EXPECT_THAT(error.what(), HasSubstr("another study"));
  write_text(what.out / "mine.txt", "not the study's");
  what.existing = Existing::kReplace;
  EXPECT_EQ(run(what).resumed, 0);
  EXPECT_EQ(read_text(what.out / "mine.txt"), "not the study's");
}

// What a refused run had left there kept the corrected one out.
// With --force the study that was there was removed before the new one was known to be possible.
TEST_F(Study, AStudyIsReplacedOnlyWhenTheNextCanBegin) {
  EditRun what = edit("kept", recipe());
  what.facts = facts().limited(1);
  run(what);
  const auto before = files(what.out);
  what.recipe = what.recipe.with("seed", 2);
  what.existing = Existing::kReplace;
  what.watch.observer = [](const Progress& progress) {
    if (progress.stage == "check") throw Stopped();
  };
  EXPECT_THROW(run(what), Stopped);
  EXPECT_EQ(files(what.out), before);
}

TEST_F(Study, AnotherStudyWithoutAFinishedCellMakesWay) {
  EditRun what = edit("hardly-begun", recipe());
  what.facts = facts().limited(1);
  what.watch.observer = [](const Progress& progress) {
    if (progress.stage == "edit") throw Stopped();
  };
  EXPECT_THROW(run(what), Stopped);
  EXPECT_TRUE(fs::exists(what.out / kJournalFile));
  what.watch = {};
  what.recipe = what.recipe.with("seed", 2);
  EXPECT_EQ(run(what).cells.size(), 1U);
  EXPECT_EQ(run(what).resumed, 1);
}

// --force removed a folder named `bundle`, or a file `patch.h5`, from a folder that held no study.
TEST_F(Study, ForceRemovesNothingThatNoStudyWrote) {
  EditRun what = edit("theirs", recipe());
  what.facts = facts().limited(1);
  what.existing = Existing::kReplace;
  fs::create_directories(what.out / kBundleFolder);
  write_text(what.out / kBundleFolder / "model.onnx", "precious");
  EXPECT_THAT(error_of([&] { run(what); }).what(), HasSubstr("'bundle' is in the way"));
  EXPECT_EQ(read_text(what.out / kBundleFolder / "model.onnx"), "precious");
  fs::rename(what.out / kBundleFolder, what.out / "mine");
  run(what);
  EXPECT_EQ(read_text(what.out / "mine" / "model.onnx"), "precious");
}

// A truncated patch was taken for the one that the journal speaks of, and the study said that it was whole.
TEST_F(Study, ADamagedPatchIsMadeAgain) {
  const auto results = [](const fs::path& folder) {
    auto all = files(folder);
    all.erase(kJournalFile);  // tells of what was made again
    return all;
  };
  const EditRun single = edit("damaged", recipe());
  run(single);
  const auto expected = results(single.out);
  fs::resize_file(single.out / "edits/0002/patch.h5", 100);
  fs::copy_file(single.out / "edits/0001/patch.h5", single.out / "edits/0003/patch.h5",
                fs::copy_options::overwrite_existing);
  EXPECT_EQ(run(single).resumed, 1);
  EXPECT_EQ(results(single.out), expected);
  EXPECT_EQ(run(single).resumed, 3);

  const EditRun sequence = edit("damaged-sequence", recipe(R"(, "mode": "sequential", "gaps": 0)"));
  run(sequence);
  const auto stacked = results(sequence.out);
  EXPECT_EQ(run(sequence).resumed, 1);
  fs::resize_file(sequence.out / kPatchFile, 100);  // the sum
  EXPECT_EQ(run(sequence).resumed, 0);
  EXPECT_EQ(results(sequence.out), stacked);
}

TEST_F(Study, OutputAroundTheClipsIsRefused) {
  EditRun what = edit("audio", recipe());
  what.existing = Existing::kReplace;
  EXPECT_THAT(error_of([&] { run(what); }).what(), HasSubstr("which is being read"));
  Session session({.threads = 1});
  EXPECT_THAT(
      error_of([&] {
        run_eval(
            {.model = root() / "bundle", .facts = facts(), .out = root() / "audio", .existing = Existing::kReplace},
            session);
      }).what(),
      HasSubstr("which is being read"));
  EXPECT_TRUE(fs::exists(clip(0).locate()));
}

TEST_F(Study, AnEvaluationNeverReplacesAStudy) {
  EditRun study = edit("no-evaluation", recipe());
  study.facts = facts().limited(1);
  run(study);
  const auto before = files(study.out);
  Session session({.threads = 1});
  EvalRun what{.model = root() / "bundle",
               .facts = study.facts,
               .decoding = recipe().decoding(),
               .metrics = recipe().metrics(),
               .out = study.out,
               .existing = Existing::kReplace};
  EXPECT_THAT(error_of([&] { run_eval(what, session); }).what(), HasSubstr("holds journal.jsonl"));
  EXPECT_EQ(files(study.out), before);
  what.out = root() / "evaluated";
  run_eval(what, session);
  run_eval(what, session);  // its own it does replace
}

// Interrupted, `patch apply` left half a model under the temporary name.
TEST_F(Study, AnInterruptedExportLeavesNothing) {
  EditRun study = edit("to-export", recipe());
  study.facts = facts().limited(1);
  run(study);
  const Bundle edited = Bundle::open(root() / "bundle")
                            .with(std::make_shared<const Patch>(Patch::load(study.out / "edits/0001/patch.h5")));
  Session session({.threads = 1});
  fs::create_directories(root() / "exports");
  for (int left = 0;; ++left) {
    int steps = left;
    try {
      save(edited, root() / "exports" / "bundle", Existing::kRefuse, session, {.questions = {kToneQuestion}},
           [&](std::int64_t /*done*/, std::int64_t /*parts*/) {
             if (steps-- == 0) throw Stopped();
           });
      EXPECT_GT(left, 3);
      break;
    } catch (const Stopped&) {
      EXPECT_TRUE(fs::is_empty(root() / "exports"));
    }
  }
}

TEST_F(Study, RefusesBeforeItWrites) {
  const auto refused = [&](const EditRun& what, const char* text) {
    const Error error = error_of([&] { run(what); });
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    EXPECT_THAT(error.what(), HasSubstr(text));
    EXPECT_FALSE(fs::exists(what.out));
  };
  EditRun what = edit("refused", recipe());
  what.export_cell = 4;
  refused(what, "no edit 4");
  refused(edit("refused", recipe().with("settings", {{"sites", "decoder.block.7.mlp"}})), "decoder.block.7");
  refused(edit("refused", Recipe::parse(R"({"method": "rome", "mode": "batch"})", "test.json")), "one fact");
  refused(edit("refused", recipe().with("settings", {{"sites", Settings::array()}})), "no site");
  refused(edit("refused", Recipe::parse(R"({"method": "rome", "settings": {"site": "decoder.block.1.mlp.down",
                                              "second_moment": "corpus"}})",
                                        "test.json")),
          "needs a corpus");
  what = edit("refused", recipe(R"(, "mode": "batch")"));
  what.export_cell = 1;
  refused(what, "exported unasked");
  what = edit("refused", recipe());
  what.facts = FactSet::of({});
  refused(what, "no facts");
  what = edit("bundle/inside", recipe());
  refused(what, "bundle");
  what = edit("", recipe());
  EXPECT_THAT(error_of([&] { run(what); }).what(), HasSubstr("holds"));
  fs::create_directories(root() / "full");
  write_text(root() / "full" / "mine.txt", "x");
  EXPECT_THAT(error_of([&] { run(edit("full", recipe())); }).what(), HasSubstr("not empty"));
}

TEST_F(Study, TheStopFlagInterrupts) {
  const std::atomic<bool> stop = true;
  EditRun what = edit("stopped", recipe());
  what.watch.stop = &stop;
  EXPECT_EQ(error_of([&] { run(what); }).code(), ErrorCode::kInterrupted);
}

TEST_F(Study, OneFactNeedsNoFile) {
  EditRun what = edit("one", recipe(R"(, "mode": "batch")"));
  what.facts = fact_of(root() / "audio" / "test_0.flac", kToneQuestion, "high");
  const EditReport report = run(what);
  ASSERT_EQ(report.cells[0].answers.size(), 1U);
  EXPECT_EQ(score_of(report.metrics, "reliability").items, 1);
  EXPECT_EQ(error_of([&] { fact_of(root() / "audio" / "test_0.flac", kToneQuestion, "loud"); }).code(),
            ErrorCode::kUser);
}

// Silent clips of facts, probes and corpora were edited, asked about and learnt from.
TEST_F(Study, AClipThatCannotBeHeardIsFoundBeforeAnythingIsWritten) {
  const Clip silence = Clip::below(root() / "audio", "", "silence.flac");
  save_waveform(root() / "audio" / "silence.flac", {std::vector<float>(8000, 0.0F), 16000});
  std::vector<Fact> silent = facts().facts();
  silent[2].probes[1].clip = silence;
  EditRun what = edit("silent", recipe());
  what.facts = FactSet::of(silent);
  const auto names_it =
      testing::AllOf(HasSubstr(silent[2].probes[1].id), HasSubstr("silence.flac"), HasSubstr("silent"));
  EXPECT_THAT(error_of([&] { run(what); }).what(), names_it);
  EXPECT_THAT(error_of([&] { plan_edit(what, {.threads = 2}); }).what(), names_it);
  EXPECT_FALSE(fs::exists(what.out));
  Session session({.threads = 1});
  const EvalRun evaluation{.model = root() / "bundle", .probes = what.facts.probes(), .out = root() / "silent-eval"};
  EXPECT_THAT(error_of([&] { run_eval(evaluation, session); }).what(), names_it);
  EXPECT_FALSE(fs::exists(evaluation.out));

  TrainRun learning = training("silent-bundle");
  learning.data = root() / "silent-data";
  fs::copy(root() / "data", learning.data, fs::copy_options::recursive);
  fs::copy_file(root() / "audio" / "silence.flac", learning.data / "train" / "audio" / "tone_1.flac",
                fs::copy_options::overwrite_existing);
  EXPECT_THAT(error_of([&] { run_train(learning, session); }).what(),
              testing::AllOf(HasSubstr("corpus item 1"), HasSubstr("tone_1.flac"), HasSubstr("silent")));
  EXPECT_FALSE(fs::exists(learning.out));
}

TEST_F(Study, ProbesAloneGiveAccuracy) {
  std::vector<Probe> probes = facts().probes();
  for (Probe& probe : probes) {
    probe.kind = ProbeKind::kPlain;
    probe.type = 0;
    probe.request_id.clear();
  }
  Session session({.threads = 1});
  EvalRun what{.model = root() / "bundle",
               .probes = probes,
               .decoding = recipe().decoding(),
               .metrics = recipe().metrics(),
               .out = root() / "eval"};
  EXPECT_EQ(plan_eval(what, {.threads = 2}).questions, 9);
  const EvalReport report = run_eval(what, session);
  EXPECT_EQ(score_of(report.metrics, "accuracy").items, 9);
  EXPECT_EQ(load_answers(what.out / kResultsFile), report.answers);
  EXPECT_EQ(error_of([&] { run_eval(what, session); }).code(), ErrorCode::kUser) << "the folder is taken";
  what.facts = facts();
  EXPECT_THAT(error_of([&] { run_eval(what, session); }).what(), HasSubstr("both"));
}

TEST_F(Study, TrainingGoesOnWhereItWasStopped) {
  TrainRun what = training("stopped-bundle");
  std::atomic<bool> stop = false;
  what.watch.stop = &stop;
  what.watch.observer = [&](const Progress& progress) { stop = progress.stage == "joint" && progress.done == 2; };
  Session session({.threads = 1});
  EXPECT_EQ(error_of([&] { run_train(what, session); }).code(), ErrorCode::kInterrupted);
  EXPECT_FALSE(fs::exists(what.out));
  what.watch = {};
  run_train(what, session);
  EXPECT_EQ(files(what.out), files(root() / "bundle"));
  const TrainPlan plan = plan_train(what);
  EXPECT_EQ(plan.steps, 5);
  EXPECT_FALSE(plan.makes_data);
}

TEST_F(Study, TrainingRefusesOtherData) {
  TrainRun what = training("other-bundle");
  what.recipe = what.recipe.with("synth", {{"seed", 3}});
  Session session({.threads = 1});
  EXPECT_THAT(error_of([&] { run_train(what, session); }).what(), HasSubstr("did not make"));
  write_text(what.data / "synth.json", R"({"options": {"seed": 4}})");
  EXPECT_THAT(error_of([&] { run_train(what, session); }).what(), HasSubstr("another 'seed'"));
  fs::remove(what.data / "synth.json");
  EXPECT_FALSE(fs::exists(what.out));
  what = training("other-bundle");
  what.data = root() / "nowhere";
  EXPECT_THAT(error_of([&] { run_train(what, session); }).what(), HasSubstr("corpus.jsonl"));
}

}  // namespace
}  // namespace retune
