// Names are labels: the same graphs under random names have the same sites and get the same edits and answers.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "editors/registry.h"
#include "facts/fact_set.h"
#include "lalm/answer.h"
#include "tensor/rng.h"
#include "tests/onnx_names.h"
#include "tests/tiny_bundle.h"

namespace retune {
namespace {

namespace fs = std::filesystem;

void write_renamed(const fs::path& from, const fs::path& to) {
  fs::copy(from, to, fs::copy_options::recursive);
  for (const auto& entry : fs::directory_iterator(to / "onnx")) {
    ASSERT_FALSE(fs::exists(entry.path().string() + "_data")) << "weights must lie inside for this test";
    write_with_random_names(entry.path(), entry.path(), Rng(17).fork(entry.path().filename().string()));
  }
}

struct Subject {
  std::string name;
  fs::path bundle;
  EditRequest request;
};

void expect_same_sites(const Bundle& a, const Bundle& b) {
  ASSERT_EQ(a.sites().sites.size(), b.sites().sites.size());
  EXPECT_EQ(a.sites().unmatched, b.sites().unmatched);
  EXPECT_EQ(a.sites().blocks.decoder, b.sites().blocks.decoder);
  EXPECT_EQ(a.sites().blocks.encoder, b.sites().blocks.encoder);
  EXPECT_EQ(a.sites().decoder_hidden, b.sites().decoder_hidden);
  int renamed = 0;
  for (std::size_t i = 0; i < a.sites().sites.size(); ++i) {
    const Site& x = a.sites().sites[i];
    const Site& y = b.sites().sites[i];
    SCOPED_TRACE(x.name);
    EXPECT_EQ(x.name, y.name);
    EXPECT_EQ(x.kind, y.kind);
    EXPECT_EQ(x.in, y.in);
    EXPECT_EQ(x.out, y.out);
    EXPECT_EQ(x.delta_shape, y.delta_shape);
    EXPECT_EQ(x.bias.has_value(), y.bias.has_value());
    ASSERT_EQ(x.targets.size(), y.targets.size());
    for (std::size_t t = 0; t < x.targets.size(); ++t) {
      EXPECT_EQ(x.targets[t].file, y.targets[t].file);
      EXPECT_EQ(x.targets[t].transposed, y.targets[t].transposed);
      EXPECT_EQ(x.targets[t].slice, y.targets[t].slice);
      renamed += x.targets[t].initializer != y.targets[t].initializer;
    }
  }
  EXPECT_GT(renamed, 10) << "the copy must really have other names";
}

void expect_same_edit(const Subject& subject, const Bundle& a, const Bundle& b, const std::string& method,
                      const Settings& settings) {
  SCOPED_TRACE(method);
  const auto editor = make_editor(method, settings);
  std::vector<Patch> patches;
  std::vector<Answer> answers;
  AnswerOptions asked;
  asked.max_new_tokens = 4;
  asked.options = subject.request.options;
  for (const Bundle& bundle : {a, b}) {
    Session session({.threads = 2});
    const Prepared prepared = editor->prepare(session, bundle, nullptr);
    patches.push_back(editor->edit(session, bundle, {&subject.request, 1}, prepared, Rng(5)));
    const Bundle edited = bundle.with(std::make_shared<const Patch>(patches.back()));
    const Prompt prompt =
        prompt_for(session, edited, subject.request.question, load_waveform(subject.request.clip.locate()));
    answers.push_back(answer(session, edited, prompt, asked));
  }
  ASSERT_FALSE(patches[0].deltas.empty());
  ASSERT_EQ(patches[0].deltas.size(), patches[1].deltas.size());
  for (std::size_t i = 0; i < patches[0].deltas.size(); ++i) {
    EXPECT_EQ(patches[0].deltas[i].site, patches[1].deltas[i].site);
    EXPECT_TRUE(identical(materialise(patches[0].deltas[i]), materialise(patches[1].deltas[i])))
        << patches[0].deltas[i].site;
  }
  EXPECT_EQ(answers[0].ids, answers[1].ids);
  EXPECT_EQ(answers[0].first_token_logprobs, answers[1].first_token_logprobs);
  for (std::size_t i = 0; i < answers[0].options.size(); ++i)
    EXPECT_EQ(answers[0].options[i].logprob_sum, answers[1].options[i].logprob_sum);
}

void expect_names_to_be_labels(const Subject& subject, const fs::path& scratch) {
  write_renamed(subject.bundle, scratch / "renamed");
  const Bundle original = Bundle::open(subject.bundle), renamed = Bundle::open(scratch / "renamed");
  expect_same_sites(original, renamed);
  expect_same_edit(subject, original, renamed, "rome", {{"target_stop_loss", 0.0}, {"target_steps", 6}});
  expect_same_edit(subject, original, renamed, "ft",
                   {{"sites", {"decoder.block.last", "connector"}}, {"steps", 3}, {"learning_rate", 1e-3}});
}

TEST(Renaming, ChangesNeitherSitesNorEditsOfASmallModel) {
  ScratchFolder scratch;
  write_tiny_bundle(scratch / "bundle");
  save_waveform(scratch / "moo.wav", tone(180));
  const EditRequest request{
      "Animal-1", "Animal",     Clip::at(scratch / "moo.wav"), kTinyQuestion, {"cow", "cat", "dog"}, "cow",
      "cat",      Scope::kLabel};
  expect_names_to_be_labels({"tiny", scratch / "bundle", request}, scratch.path());
}

TEST(Renaming, ChangesNeitherSitesNorEditsOfTheDemoModel) {
  if (!fs::exists("demo/bundle/config.json") || !fs::exists("demo/facts.json"))
    GTEST_SKIP() << "demo/bundle or demo/facts.json is not here";
  ScratchFolder scratch;
  const FactSet facts = FactSet::load("demo/facts.json", {.audio_root = "demo/audio"});
  expect_names_to_be_labels({"demo", "demo/bundle", facts.requests().front()}, scratch.path());
}

}  // namespace
}  // namespace retune
