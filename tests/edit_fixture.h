// What tests of one editing method on a whole model share: the tiny bundle, two tones and requests about them.
//
//   class Lora : public EditFixture {};
//   TEST_F(Lora, ...) { const Patch patch = edit("lora", {{"steps", 3}}, request()); ... }
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "audio/waveform.h"
#include "editors/registry.h"
#include "facts/corpus.h"
#include "lalm/answer.h"
#include "tests/tiny_bundle.h"

namespace retune {

class EditFixture : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = std::make_unique<ScratchFolder>();
    write_tiny_bundle(*scratch_ / "bundle");
    save_waveform(*scratch_ / "moo.wav", tone(180));
    save_waveform(*scratch_ / "mew.wav", tone(700, 0.3));
  }
  static void TearDownTestSuite() { scratch_.reset(); }

  static Clip clip(const std::string& name) { return Clip::below(scratch_->path(), "", name); }
  static EditRequest request(const std::string& new_label = "cat", const std::string& sound = "moo.wav") {
    return {"Animal-1", "Animal", clip(sound), kTinyQuestion, {"cow", "cat", "dog"}, "cow", new_label, Scope::kLabel};
  }
  // Items of different lengths, five with sound and four without.
  static Corpus corpus() {
    std::vector<CorpusItem> items;
    for (const char* answer : {"cow", "cat", "dog", "elephant"})
      items.push_back({std::nullopt, std::string(kTinyTextQuestion) + "\n" + answer, answer, "", ""});
    for (const char* sound : {"moo.wav", "mew.wav"})
      for (const char* answer : {"cow", "dog"}) items.push_back({clip(sound), kTinyQuestion, answer, "Animal", ""});
    items.push_back({clip("mew.wav"), "Is it loud?", "", "Animal", ""});
    return Corpus(std::move(items));
  }

  Patch edit(const std::string& method, const Settings& settings, const Bundle& bundle, const EditRequest& what,
             const Corpus* data = nullptr) {
    return edit(session_, method, settings, bundle, {what}, data);
  }
  Patch edit(Session& session, const std::string& method, const Settings& settings, const Bundle& bundle,
             const std::vector<EditRequest>& requests, const Corpus* data = nullptr) const {
    const auto editor = make_editor(method, settings);
    Bundle base = bundle;
    while (!base.view().patches().empty()) base = base.without_top();
    const Prepared prepared = editor->prepare(session, base, data);
    return editor->edit(session, bundle, requests, prepared, Rng(5));
  }
  static Bundle with(const Bundle& bundle, Patch patch) {
    return bundle.with(std::make_shared<const Patch>(std::move(patch)));
  }

  Prompt prompt(const std::string& sound = "moo.wav") {
    return prompt_for(session_, base_, kTinyQuestion, load_waveform(*scratch_ / sound));
  }
  Prompt text_prompt() { return prompt_for(session_, base_, kTinyTextQuestion, std::nullopt); }
  double nll(const Bundle& bundle, const EditRequest& what) {
    AnswerOptions options;
    options.max_new_tokens = 0;
    options.expected = what.new_label;
    return answer(session_, bundle, prompt(what.clip.file()), options).forced_nll;
  }

  static inline std::unique_ptr<ScratchFolder> scratch_;
  Session session_{SessionOptions{.threads = 2}};
  Bundle base_ = Bundle::open(*scratch_ / "bundle");
};

}  // namespace retune
