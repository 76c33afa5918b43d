#include "training/synth/sentences.h"

#include <array>

namespace retune::synth {

namespace {

struct Combination {
  std::size_t pattern;
  std::size_t who;
  std::size_t when;
};

Combination combination(const LanguageText& language, std::int64_t index) {
  const auto i = static_cast<std::size_t>(index);
  const std::size_t who = language.who.size();
  const std::size_t when = language.when.size();
  return {i / (who * when), i / when % who, i % when};
}

void fill(std::string& text, std::string_view slot, std::string_view word) {
  const std::size_t at = text.find(slot);
  text.replace(at, slot.size(), word);
}

}  // namespace

std::span<const LanguageText> languages() {
  static const std::array<LanguageText, 8> all{english_text(), german_text(),  spanish_text(),  french_text(),
                                               italian_text(), chinese_text(), japanese_text(), korean_text()};
  return all;
}

std::int64_t sentence_count(const LanguageText& language) {
  return static_cast<std::int64_t>(language.templates.size() * language.who.size() * language.when.size());
}

std::string sentence(const LanguageText& language, std::int64_t index) {
  const Combination chosen = combination(language, index);
  std::string text(language.templates[chosen.pattern]);
  fill(text, "{who}", language.who[chosen.who]);
  fill(text, "{when}", language.when[chosen.when]);
  return text;
}

Split sentence_split(const LanguageText& language, std::int64_t index) {
  // A sum of the three indices, so that every template and every word meets every split. The factors are coprime to
  // ten.
  const Combination chosen = combination(language, index);
  return cell_split(static_cast<long>(chosen.pattern + 3 * chosen.who + 7 * chosen.when));
}

std::string draw_sentence(const LanguageText& language, Split split, Rng& rng) {
  while (true) {  // one in ten sentences is of the rarest split, so this ends after a few draws
    const auto index = static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(sentence_count(language))));
    if (sentence_split(language, index) == split) return sentence(language, index);
  }
}

}  // namespace retune::synth
