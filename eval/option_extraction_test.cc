// T17 of methods.md section 11: a table of responses as models give them, each with what a careful reader extracts.
#include "eval/option_extraction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retune {
namespace {

using Options = std::vector<std::string>;

const Options kAnimals = {"dog", "cat", "hen", "rooster"};
const Options kGender = {"Male", "Female"};
const Options kEmotions = {"happy", "sad", "angry", "fear"};
const Options kDisgust = {"disgust", "fear", "happy"};
const Options kLanguages = {"English", "German", "Chinese", "Korean"};
const Options kTasks = {"rock", "punk rock", "hip-hop", "0.4m", "4.0m"};
const Options kSentences = {"Swimming in open water", "Flapping its wings", "Purring", "Hiding in shells"};
const Options kNumbers = {"5", "7", "9", "12"};

// What the reader finds: an option's index, or
constexpr int kNothing = -1;
constexpr int kSeveral = -2;
constexpr int kEmptyText = -3;

struct Row {
  std::string response;
  const Options& options;
  int first;   // by MultiRule::kFirst
  int strict;  // by MultiRule::kStrict
};

std::vector<Row> table() {
  return {
      // exact, case, decoration
      {"dog", kAnimals, 0, 0},
      {"Dog", kAnimals, 0, 0},
      {" CAT.\n", kAnimals, 1, 1},
      {"**Rooster**", kAnimals, 3, 3},
      {"'hen'", kAnimals, 2, 2},
      {"\u201Cdog\u201D", kAnimals, 0, 0},
      {"Female", kGender, 1, 1},
      {"male", kGender, 0, 0},
      {"12", kNumbers, 3, 3},
      {"Purring", kSentences, 2, 2},
      {"flapping its wings.", kSentences, 1, 1},
      {"\uFF23\uFF21\uFF34", kAnimals, 1, 1},
      // in a sentence
      {"The sound is a dog.", kAnimals, 0, 0},
      {"It is most likely a cat, meowing loudly.", kAnimals, 1, 1},
      {"The speaker's gender is female.", kGender, 1, 1},
      {"The speaker is male.", kGender, 0, 0},
      {"The language spoken is Korean", kLanguages, 3, 3},
      {"I hear German being spoken in the recording.", kLanguages, 1, 1},
      {"The answer is: 7", kNumbers, 1, 1},
      {"Its most typical behaviour is flapping its wings", kSentences, 1, 1},
      {"Answer:\nrooster", kAnimals, 3, 3},
      // variants
      {"The speaker sounds full of joy.", kEmotions, 0, 0},
      {"happiness", kEmotions, 0, 0},
      {"The tone conveys sadness.", kEmotions, 1, 1},
      {"anger", kEmotions, 2, 2},
      {"She is scared.", kEmotions, 3, 3},
      {"The speaker sounds afraid", kEmotions, 3, 3},
      {"He sounds disgusted", kDisgust, 0, 0},
      {"It is a man's voice.", kGender, 0, 0},
      {"A woman is speaking.", kGender, 1, 1},
      {"The voice is feminine", kGender, 1, 1},
      // labels within other words or other labels
      {"The speaker is a female.", kGender, 1, 1},
      {"The hotdog vendor shouts.", kAnimals, kNothing, kNothing},
      {"then", kAnimals, kNothing, kNothing},
      {"This is punk rock", kTasks, 1, 1},
      {"This is rock music", kTasks, 0, 0},
      {"It is hip hop", kTasks, 2, 2},
      {"The distance is 0.4m.", kTasks, 3, 3},
      {"The distance is 10.4m.", kTasks, kNothing, kNothing},
      {"unhappy", kEmotions, kNothing, kNothing},
      {"17", kNumbers, kNothing, kNothing},
      {"Germany", kLanguages, kNothing, kNothing},
      // several options
      {"It is a dog. A cat would meow.", kAnimals, 0, 0},
      {"A dog or a cat. Probably the cat.", kAnimals, 1, 1},
      {"dog or cat", kAnimals, 0, kSeveral},
      {"cat, dog, hen, rooster", kAnimals, 1, kSeveral},
      {"Between dog and cat\nI choose dog", kAnimals, 0, 0},
      {"Is it a hen or a rooster? It crows! It is the rooster.", kAnimals, 3, 3},
      {"Not a dog but a cat", kAnimals, 0, kSeveral},
      {"Male or female, hard to tell", kGender, 0, kSeveral},
      {"dog dog dog", kAnimals, 0, 0},
      // negated: J1 has no negation filter, which brought nothing measurable
      {"This is not a dog.", kAnimals, 0, 0},
      {"It isn't a cat. It is a hen.", kAnimals, 1, 1},
      // none, empty
      {"I cannot tell.", kAnimals, kNothing, kNothing},
      {"A bird.", kAnimals, kNothing, kNothing},
      {"The speaker is excited", kEmotions, kNothing, kNothing},
      {"...", kAnimals, kEmptyText, kEmptyText},
      {"", kAnimals, kEmptyText, kEmptyText},
      {"  \n\t ", kAnimals, kEmptyText, kEmptyText},
      {"\xff\xfe", kAnimals, kNothing, kNothing},
  };
}

int as_index(const Extraction& extraction) {
  switch (extraction.kind) {
    case Extraction::Kind::kEmpty:
      return kEmptyText;
    case Extraction::Kind::kNone:
      return kNothing;
    case Extraction::Kind::kMulti:
      return kSeveral;
    case Extraction::Kind::kOption:
      break;
  }
  return extraction.option;
}

TEST(OptionExtraction, ReadsSixtyResponsesAsACarefulReaderDoes) {
  EXPECT_EQ(table().size(), 60u);
  for (const Row& row : table()) {
    EXPECT_EQ(as_index(extract_option(row.response, row.options, MultiRule::kFirst)), row.first) << row.response;
    EXPECT_EQ(as_index(extract_option(row.response, row.options, MultiRule::kStrict)), row.strict) << row.response;
  }
}

TEST(OptionExtraction, AVariantThatIsAnotherOptionBelongsToThatOption) {
  EXPECT_EQ(extract_option("It is joy indeed", {"happy", "joy"}, MultiRule::kStrict).option, 1);
  EXPECT_EQ(extract_option("It is joy indeed", {"happy", "sad"}, MultiRule::kStrict).option, 0);
}

TEST(OptionExtraction, OptionsThatAreEqualAfterNormalisationCountAsTheFirst) {
  EXPECT_EQ(extract_option("I think Hip-Hop", {"pop", "hip_hop", "Hip Hop"}, MultiRule::kStrict).option, 1);
}

TEST(OptionExtraction, ALongerOptionHidesAllThatItContains) {
  const Options options = {"a", "a b", "a b c", "b c d"};
  EXPECT_THAT(extract_option("x a b c y", options, MultiRule::kFirst).named, testing::ElementsAre(2));
  EXPECT_THAT(extract_option("a b c d", options, MultiRule::kFirst).named, testing::ElementsAre(2, 3))
      << "they overlap";
}

TEST(OptionExtraction, NamesEachOptionOnceInOrder) {
  const Extraction extraction = extract_option("cat dog cat hen", kAnimals, MultiRule::kFirst);
  EXPECT_THAT(extraction.named, testing::ElementsAre(1, 0, 2));
}

TEST(OptionExtraction, TakesTimeLinearInTheResponse) {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "dog or cat. ";
  EXPECT_EQ(extract_option(text, kAnimals, MultiRule::kFirst).option, 0);
}

TEST(OptionExtraction, TheFirstLetterNamedCounts) {
  EXPECT_EQ(extract_letter("(B)", 4), 1);
  EXPECT_EQ(extract_letter("B", 4), 1);
  EXPECT_EQ(extract_letter("B. I can watch movies.", 4), 1);
  EXPECT_EQ(extract_letter("b) I can", 4), 1);
  EXPECT_EQ(extract_letter("The best is option C, not (A).", 4), 2);
  EXPECT_EQ(extract_letter("I would say (D) rather than option A", 4), 3);
  EXPECT_EQ(extract_letter("A good comedy is best", 4), -1) << "an article is no letter";
  EXPECT_EQ(extract_letter("(E)", 4), -1) << "beyond the options";
  EXPECT_EQ(extract_letter("option chosen", 4), -1);
  EXPECT_EQ(extract_letter("", 4), -1);
}

}  // namespace
}  // namespace retune
