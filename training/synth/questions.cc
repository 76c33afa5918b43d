#include "training/synth/questions.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <iterator>
#include <span>

#include "facts/option_list.h"
#include "tensor/error.h"
#include "training/synth/labels.h"

namespace retune::synth {

namespace {

using std::string_view;
constexpr std::size_t kOptions = 4;

struct Wordings {
  string_view attribute;
  std::array<string_view, 6> stems;
};

constexpr std::array<Wordings, 7> kWordings{{
    {kGender,
     {"What is the gender of the speaker?", "Identify the speaker's gender.", "Which gender does this voice have?",
      "Choose the gender of the speaker.", "Is the speaker male or female?",
      "Listen to the voice. What is its gender?"}},
    {kEmotion,
     {"What is the emotion of the speaker?", "Identify the speaker's emotion.", "Which emotion does this voice have?",
      "How does the speaker feel?", "Choose the feeling of the speaker.", "Listen to the voice. What is its emotion?"}},
    {kLanguage,
     {"What is the language of the speaker?", "Identify the speaker's language.", "Which language is spoken?",
      "Choose the language of the speech.", "Which language do you hear?",
      "Listen to the voice. What is its language?"}},
    {kAnimal,
     {"Which animal makes this sound?", "Identify the animal.", "Which animal do you hear?",
      "Choose the animal of the sound.", "What is the animal in the audio?",
      "Listen to the sound. What is the animal?"}},
    {kToneHeight,
     {"Is the tone high or low?", "What is the height of the tone?", "Choose the height of the tone.",
      "Identify the height of the tone.", "How high is the tone?",
      "Listen to the sound. What is the height of its tone?"}},
    {kBeepCount,
     {"How many beeps do you hear?", "What is the number of beeps?", "Choose the number of beeps.",
      "Identify the number of beeps.", "How many beeps are in the audio?",
      "Listen to the sound. How many beeps has it?"}},
    {kSoundKind,
     {"What kind of sound is this?", "Which kind of sound do you hear?", "Choose the kind of the sound.",
      "Identify the kind of the sound.", "What is the kind of sound in the audio?",
      "Listen to the sound. What is its kind?"}},
}};

const Wordings& wordings_of(string_view attribute) {
  for (const Wordings& wordings : kWordings) {
    if (wordings.attribute == attribute) return wordings;
  }
  throw failure("no question asks for '{}'", attribute);
}

// A property of every label of an attribute, in the order of labels_of(attribute).
struct Property {
  string_view attribute;
  std::array<string_view, 2> stems;
  std::array<string_view, 9> values;
};

constexpr std::array<Property, 17> kProperties{{
    {kAnimal,
     {"What is the young of this animal?", "Which young does this animal have?"},
     {"puppy", "kitten", "piglet", "calf", "tadpole", "chick", "chick", "lamb", "chick"}},
    {kAnimal,
     {"Which word is the call of this animal?", "What does this animal say?"},
     {"woof", "meow", "oink", "moo", "croak", "cluck", "cockadoodle", "baa", "caw"}},
    {kAnimal,
     {"What does this animal like to eat?", "Which food does this animal like?"},
     {"bones", "mice", "acorns", "hay", "flies", "seeds", "corn", "grass", "scraps"}},
    {kAnimal,
     {"Where does this animal live?", "Which place is the home of this animal?"},
     {"kennel", "house", "sty", "barn", "pond", "coop", "coop", "meadow", "tree"}},
    {kAnimal,
     {"Which group is this animal in?", "What kind of animal is this?"},
     {"mammal", "mammal", "mammal", "mammal", "amphibian", "bird", "bird", "mammal", "bird"}},
    {kLanguage,
     {"Which country speaks this language?", "In which country is this language spoken?"},
     {"England", "Germany", "Spain", "France", "Italy", "China", "Japan", "Korea", ""}},
    {kLanguage,
     {"Which city speaks this language?", "In which city is this language spoken?"},
     {"London", "Berlin", "Madrid", "Paris", "Rome", "Beijing", "Tokyo", "Seoul", ""}},
    {kLanguage,
     {"Which greeting is of this language?", "How do you greet this speaker?"},
     {"hello", "hallo", "hola", "bonjour", "ciao", "nihao", "konnichiwa", "annyeong", ""}},
    {kLanguage,
     {"Which food is from the speaker's country?", "What food is known where the language is spoken?"},
     {"pudding", "pretzel", "paella", "baguette", "pizza", "dumplings", "sushi", "kimchi", ""}},
    {kGender,
     {"Which title is right for the speaker?", "How is the speaker addressed?"},
     {"sir", "madam", "", "", "", "", "", "", ""}},
    {kGender,
     {"Which pronoun is right for the speaker?", "Which word stands for the speaker?"},
     {"he", "she", "", "", "", "", "", "", ""}},
    {kGender,
     {"Which parent can the speaker be?", "What can a child call the speaker?"},
     {"father", "mother", "", "", "", "", "", "", ""}},
    {kGender,
     {"Which ruler can the speaker be?", "What can the speaker be in a palace?"},
     {"king", "queen", "", "", "", "", "", "", ""}},
    {kEmotion,
     {"Which face does the speaker make?", "What is on the speaker's face?"},
     {"smile", "wrinkled nose", "tears", "wide eyes", "frown", "", "", "", ""}},
    {kEmotion,
     {"What happened to the speaker?", "What does the speaker talk about?"},
     {"a gift", "rotten food", "a loss", "a ghost", "an insult", "", "", "", ""}},
    {kEmotion,
     {"What will the speaker do next?", "Which act is next for the speaker?"},
     {"laugh", "gag", "weep", "flee", "shout", "", "", "", ""}},
    {kEmotion,
     {"What does the speaker need?", "Which help is right for the speaker?"},
     {"a party", "fresh air", "comfort", "safety", "calm", "", "", "", ""}},
}};

// Where a property has fewer than four values, or to fill up: answers that are right for no label.
constexpr std::array<string_view, 3> kOtherGroups{"fish", "insect", "reptile"};

const Property& property_of(string_view attribute, std::size_t index) {
  for (const Property& property : kProperties) {
    if (property.attribute == attribute && index-- == 0) return property;
  }
  throw failure("no such property of '{}'", attribute);
}

std::size_t label_index(string_view attribute, string_view label) {
  const std::span<const string_view> labels = labels_of(attribute);
  const auto at = std::find(labels.begin(), labels.end(), label);
  if (at == labels.end()) throw failure("{} has no label '{}'", attribute, label);
  return static_cast<std::size_t>(at - labels.begin());
}

bool add_once(std::vector<std::string>& options, string_view option) {
  if (option.empty() || std::find(options.begin(), options.end(), option) != options.end()) return false;
  options.emplace_back(option);
  return true;
}

// Fills up to kOptions from the pool in a drawn order, then shuffles all.
void complete(std::vector<std::string>& options, std::vector<string_view> pool, Rng& rng) {
  rng.shuffle(pool);
  for (const string_view other : pool) {
    if (options.size() >= kOptions) break;
    add_once(options, other);
  }
  rng.shuffle(options);
}

std::string spelt(std::string label, LetterCase letter_case) {
  if (letter_case == LetterCase::kCanonical || label.empty()) return label;
  const auto first = static_cast<unsigned char>(label[0]);
  label[0] = static_cast<char>(letter_case == LetterCase::kCapitalised ? std::toupper(first) : std::tolower(first));
  return label;
}

}  // namespace

std::string Question::text() const { return with_options(stem, options); }

LetterCase draw_letter_case(Rng& rng) {
  switch (rng.below(6)) {
    case 0:
      return LetterCase::kCapitalised;
    case 1:
      return LetterCase::kLower;
    default:
      return LetterCase::kCanonical;
  }
}

std::size_t wording_count(string_view attribute) { return wordings_of(attribute).stems.size(); }

Question label_question(string_view attribute, std::size_t wording, string_view label,
                        const std::vector<std::string>& also, LetterCase letter_case, Rng& rng) {
  Question question;
  question.stem = wordings_of(attribute).stems.at(wording);
  const std::span<const string_view> labels = labels_of(attribute);
  add_once(question.options, labels[label_index(attribute, label)]);
  for (const std::string& other : also) add_once(question.options, other);
  complete(question.options, {labels.begin(), labels.end()}, rng);
  for (std::string& option : question.options) option = spelt(option, letter_case);
  question.answer = spelt(std::string(label), letter_case);
  return question;
}

std::size_t property_count(string_view attribute) {
  return static_cast<std::size_t>(std::count_if(kProperties.begin(), kProperties.end(), [&](const Property& property) {
    return property.attribute == attribute;
  }));
}

std::string property_value(string_view attribute, std::size_t property, string_view label) {
  return std::string(property_of(attribute, property).values.at(label_index(attribute, label)));
}

Question property_question(string_view attribute, std::size_t property, string_view label,
                           const std::vector<std::string>& also, Rng& rng) {
  const Property& asked = property_of(attribute, property);
  Question question;
  question.stem = asked.stems[rng.below(asked.stems.size())];
  question.answer = property_value(attribute, property, label);
  add_once(question.options, question.answer);
  for (const std::string& other : also) add_once(question.options, property_value(attribute, property, other));
  std::vector<string_view> pool(asked.values.begin(), asked.values.end());
  if (asked.values[0] == "mammal") pool.insert(pool.end(), kOtherGroups.begin(), kOtherGroups.end());
  complete(question.options, pool, rng);
  return question;
}

}  // namespace retune::synth
