#include "training/synth/sentences.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "training/synth/labels.h"

namespace retune::synth {
namespace {

TEST(Sentences, EveryLanguageOfSakeHasThousands) {
  ASSERT_EQ(languages().size(), kLanguages.size());
  for (std::size_t i = 0; i < kLanguages.size(); ++i) {
    const LanguageText& language = languages()[i];
    EXPECT_EQ(language.name, kLanguages[i]);
    EXPECT_GE(language.templates.size(), 40u);
    std::set<std::string> distinct;
    for (std::int64_t s = 0; s < sentence_count(language); ++s) {
      const std::string text = sentence(language, s);
      EXPECT_EQ(text.find_first_of("{}"), std::string::npos) << text;
      distinct.insert(text);
    }
    EXPECT_GE(distinct.size(), 4000u) << language.name;
    EXPECT_EQ(static_cast<std::int64_t>(distinct.size()), sentence_count(language)) << language.name;
  }
}

TEST(Sentences, SplitsDrawDisjointSentencesOfTheSameWords) {
  for (const LanguageText& language : languages()) {
    std::map<std::string, Split> owner;
    Rng rng(11);
    for (const Split split : kSplits) {
      std::map<std::string_view, int> words;
      for (int i = 0; i < 600; ++i) {
        const std::string text = draw_sentence(language, split, rng);
        const auto [at, is_new] = owner.emplace(text, split);
        EXPECT_TRUE(is_new || at->second == split) << text;
        for (const std::string_view word : language.who) {
          if (text.find(word) != std::string::npos) ++words[word];
        }
      }
      EXPECT_EQ(words.size(), language.who.size()) << language.name << " " << split_name(split);
    }
  }
}

}  // namespace
}  // namespace retune::synth
