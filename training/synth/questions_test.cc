#include "training/synth/questions.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "facts/option_list.h"
#include "training/synth/labels.h"

namespace retune::synth {
namespace {

// What holds of every question: the options as printed are those given, differ also in lower case, and hold the answer
// once.
void expect_sound(const Question& question, std::size_t options) {
  EXPECT_EQ(parse_options(question.text()).texts, question.options) << question.text();
  EXPECT_EQ(question.options.size(), options) << question.text();
  EXPECT_EQ(std::count(question.options.begin(), question.options.end(), question.answer), 1) << question.text();
  for (std::size_t i = 0; i < question.options.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j)
      EXPECT_FALSE(same_label(question.options[i], question.options[j])) << question.text();
  }
}

TEST(Questions, RecognitionOffersTheLabelsAskedForInEveryWording) {
  Rng rng(1);
  std::set<std::size_t> places;
  for (const std::string_view attribute :
       {kGender, kEmotion, kLanguage, kAnimal, kToneHeight, kBeepCount, kSoundKind}) {
    const std::size_t options = std::min<std::size_t>(4, labels_of(attribute).size());
    EXPECT_GE(wording_count(attribute), 4u);
    for (std::size_t wording = 0; wording < wording_count(attribute); ++wording) {
      for (const std::string_view label : labels_of(attribute)) {
        const std::string other(labels_of(attribute)[label == labels_of(attribute)[0] ? 1 : 0]);
        for (const LetterCase letter_case : {LetterCase::kCanonical, LetterCase::kCapitalised, LetterCase::kLower}) {
          const Question question = label_question(attribute, wording, label, {other}, letter_case, rng);
          expect_sound(question, options);
          EXPECT_TRUE(same_label(question.answer, label));
          EXPECT_GE(find_label(question.options, other), 0) << question.text();
          places.insert(static_cast<std::size_t>(find_label(question.options, label)));
        }
      }
    }
  }
  EXPECT_EQ(places.size(), 4u) << "the right option must not keep its place";
}

TEST(Questions, SecondHopsFollowFromTheLabel) {
  EXPECT_EQ(property_value(kAnimal, 0, "cat"), "kitten");
  EXPECT_EQ(property_value(kLanguage, 0, "Korean"), "Korea");
  EXPECT_EQ(property_value(kGender, 0, "female"), "madam");
  EXPECT_EQ(property_count(kToneHeight), 0u);
  Rng rng(2);
  for (const std::string_view attribute : kAttributes) {
    EXPECT_GE(property_count(attribute), 3u);
    for (std::size_t property = 0; property < property_count(attribute); ++property) {
      for (const std::string_view label : labels_of(attribute)) {
        for (int i = 0; i < 5; ++i) {
          const Question question = property_question(attribute, property, label, {}, rng);
          expect_sound(question, attribute == kGender ? 2 : 4);
          EXPECT_EQ(question.answer, property_value(attribute, property, label));
        }
      }
    }
  }
}

TEST(Questions, EveryPairOfLabelsCanBeToldApartByASecondHop) {
  for (const std::string_view attribute : kAttributes) {
    for (const std::string_view a : labels_of(attribute)) {
      for (const std::string_view b : labels_of(attribute)) {
        bool differs = a == b;
        for (std::size_t p = 0; p < property_count(attribute); ++p) {
          differs = differs || property_value(attribute, p, a) != property_value(attribute, p, b);
        }
        EXPECT_TRUE(differs) << a << " " << b;
      }
    }
  }
}

TEST(Questions, TextFactsOfTestAreTaughtInOtherWords) {
  EXPECT_GE(text_fact_count(), 60u);
  Rng rng(3);
  for (std::size_t fact = 0; fact < text_fact_count(); ++fact) {
    std::set<std::string> taught;
    std::string answer;
    for (const std::size_t wording : text_wordings(fact, Split::kTrain)) {
      const Question question = text_question(fact, wording, rng);
      expect_sound(question, 4);
      taught.insert(question.stem);
      answer = question.answer;
    }
    EXPECT_GE(taught.size(), 2u);
    for (const Split split : {Split::kVal, Split::kTest}) {
      for (const std::size_t wording : text_wordings(fact, split)) {
        const Question question = text_question(fact, wording, rng);
        expect_sound(question, 4);
        EXPECT_FALSE(taught.contains(question.stem)) << question.stem;
        EXPECT_EQ(question.answer, answer);
      }
    }
  }
}

}  // namespace
}  // namespace retune::synth
