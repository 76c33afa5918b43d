// The facts that questions in text alone ask for: simple ones, and those behind the second hops.
#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "training/synth/questions.h"

namespace retune::synth {

namespace {

using std::string_view;

struct Pair {
  string_view about;
  string_view answer;
};

constexpr std::size_t kWordings = 6;

// One kind of fact: its wordings with the slot {x}, and the facts. A word that begins a sentence is another token than
// the same word after a blank, so where one wording begins with {x}, a second does: one of them is always taught.
struct Family {
  string_view subject;
  std::array<string_view, kWordings> stems;
  std::array<Pair, 10> pairs;  // unused ones at the end are empty
};

constexpr std::array<Family, 12> kFamilies{{
    {"capital",
     {"What is the capital of {x}?", "Which city is the capital of {x}?", "Choose the capital of {x}.",
      "{x} has which capital?", "Identify the capital of {x}.", "{x}: which city is its capital?"},
     {{{"England", "London"},
       {"Germany", "Berlin"},
       {"Spain", "Madrid"},
       {"France", "Paris"},
       {"Italy", "Rome"},
       {"China", "Beijing"},
       {"Japan", "Tokyo"},
       {"Korea", "Seoul"}}}},
    {"language",
     {"Which language is spoken in {x}?", "What is the language of {x}?", "Choose the language of {x}.",
      "{x} has which language?", "Identify the language of {x}.", "{x}: which language is spoken there?"},
     {{{"England", "English"},
       {"Germany", "German"},
       {"Spain", "Spanish"},
       {"France", "French"},
       {"Italy", "Italian"},
       {"China", "Chinese"},
       {"Japan", "Japanese"},
       {"Korea", "Korean"}}}},
    {"call",
     {"Which animal says {x}?", "What animal has the call {x}?", "Choose the animal that says {x}.",
      "{x} is said by which animal?", "Identify the animal that says {x}.", "{x}: which animal says this?"},
     {{{"woof", "dog"},
       {"meow", "cat"},
       {"oink", "pig"},
       {"moo", "cow"},
       {"croak", "frog"},
       {"cluck", "hen"},
       {"cockadoodle", "rooster"},
       {"baa", "sheep"},
       {"caw", "crow"}}}},
    {"young",
     {"What is the young of a {x}?", "Which young does a {x} have?", "Choose the young of a {x}.",
      "A {x} has which young?", "Identify the young of a {x}.", "A {x}: which is its young?"},
     {{{"dog", "puppy"},
       {"cat", "kitten"},
       {"pig", "piglet"},
       {"cow", "calf"},
       {"frog", "tadpole"},
       {"hen", "chick"},
       {"sheep", "lamb"}}}},
    {"habit",
     {"Which animal {x}?", "What animal {x}?", "Choose the animal that {x}.", "Name the animal that {x}.",
      "Identify the animal that {x}.", "The animal that {x} is which?"},
     {{{"purrs", "cat"},
       {"gives wool", "sheep"},
       {"gives milk", "cow"},
       {"lays eggs", "hen"},
       {"wags its tail", "dog"},
       {"hops in a pond", "frog"},
       {"rolls in mud", "pig"},
       {"is a black bird", "crow"},
       {"calls at dawn", "rooster"}}}},
    {"opposite",
     {"What is the opposite of {x}?", "Which word is the opposite of {x}?", "Choose the opposite of {x}.",
      "{x} has which opposite?", "Identify the opposite of {x}.", "{x}: which word is its opposite?"},
     {{{"hot", "cold"},
       {"big", "small"},
       {"high", "low"},
       {"day", "night"},
       {"old", "young"},
       {"wet", "dry"},
       {"open", "shut"},
       {"fast", "slow"},
       {"light", "dark"}}}},
    {"colour",
     {"What is the colour of {x}?", "Which colour has {x}?", "Choose the colour of {x}.", "{x} has which colour?",
      "Identify the colour of {x}.", "{x}: which colour is it?"},
     {{{"grass", "green"},
       {"snow", "white"},
       {"blood", "red"},
       {"coal", "black"},
       {"the sky", "blue"},
       {"a lemon", "yellow"},
       {"a carrot", "orange"}}}},
    {"sum",
     {"What is {x}?", "Which number is {x}?", "Choose the sum of {x}.", "{x} is which number?",
      "Identify the number that is {x}.", "{x}: which number is it?"},
     {{{"one plus one", "two"},
       {"one plus two", "three"},
       {"two plus two", "four"},
       {"two plus three", "five"},
       {"three plus three", "six"},
       {"three plus four", "seven"},
       {"four plus four", "eight"}}}},
    {"day",
     {"Which day is after {x}?", "What day is after {x}?", "Choose the day after {x}.", "After {x} is which day?",
      "Identify the day after {x}.", "Name the day that is after {x}."},
     {{{"Monday", "Tuesday"},
       {"Tuesday", "Wednesday"},
       {"Wednesday", "Thursday"},
       {"Thursday", "Friday"},
       {"Friday", "Saturday"},
       {"Saturday", "Sunday"},
       {"Sunday", "Monday"}}}},
    {"family",
     {"What is the female word for {x}?", "Which word is the female of {x}?", "Choose the female word for {x}.",
      "{x} has which female word?", "Identify the female word for {x}.", "{x}: which word is its female?"},
     {{{"king", "queen"},
       {"father", "mother"},
       {"brother", "sister"},
       {"uncle", "aunt"},
       {"boy", "girl"},
       {"sir", "madam"}}}},
    {"feeling",
     {"Which emotion goes with {x}?", "What emotion goes with {x}?", "Choose the emotion of {x}.",
      "{x} goes with which emotion?", "Identify the emotion of {x}.", "{x}: which emotion goes with it?"},
     {{{"a smile", "happy"},
       {"tears", "sad"},
       {"a ghost", "fear"},
       {"an insult", "angry"},
       {"rotten food", "disgust"},
       {"a gift", "happy"}}}},
    {"greeting",
     {"Which language has the greeting {x}?", "What language is {x}?", "Choose the language of {x}.",
      "{x} is of which language?", "Identify the language of {x}.", "{x}: which language is it?"},
     {{{"hello", "English"},
       {"hallo", "German"},
       {"hola", "Spanish"},
       {"bonjour", "French"},
       {"ciao", "Italian"},
       {"nihao", "Chinese"},
       {"konnichiwa", "Japanese"},
       {"annyeong", "Korean"}}}},
}};

struct Place {
  const Family* family;
  const Pair* pair;
};

std::vector<Place> all_facts() {
  std::vector<Place> places;
  for (const Family& family : kFamilies) {
    for (const Pair& pair : family.pairs) {
      if (!pair.about.empty()) places.push_back({&family, &pair});
    }
  }
  return places;
}

}  // namespace

std::size_t text_fact_count() { return all_facts().size(); }

std::string text_fact_subject(std::size_t fact) { return std::string(all_facts().at(fact).family->subject); }

std::vector<std::size_t> text_wordings(std::size_t fact, Split split) {
  switch (split) {
    case Split::kTest:
      return {fact % kWordings};
    case Split::kVal:
      return {(fact + 1) % kWordings};
    case Split::kTrain:
      break;
  }
  std::vector<std::size_t> taught;
  for (std::size_t k = 2; k < kWordings; ++k) taught.push_back((fact + k) % kWordings);
  return taught;
}

Question text_question(std::size_t fact, std::size_t wording, Rng& rng) {
  constexpr std::size_t kOptions = 4;
  const Place place = all_facts().at(fact);
  Question question;
  question.stem = place.family->stems.at(wording);
  question.stem.replace(question.stem.find("{x}"), 3, place.pair->about);
  question.answer = place.pair->answer;
  question.options = {question.answer};
  std::vector<string_view> others;
  for (const Pair& pair : place.family->pairs) {
    if (!pair.about.empty()) others.push_back(pair.answer);
  }
  rng.shuffle(others);
  for (const string_view other : others) {
    if (question.options.size() == kOptions) break;
    if (std::find(question.options.begin(), question.options.end(), other) == question.options.end()) {
      question.options.emplace_back(other);
    }
  }
  rng.shuffle(question.options);
  return question;
}

}  // namespace retune::synth
