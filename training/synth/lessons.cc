#include "training/synth/lessons.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>

#include "training/synth/questions.h"

namespace retune::synth {

namespace {

constexpr int kTextOrdersTaught = 6;
constexpr int kTextOrdersAsked = 2;

// What may be asked of a clip: its labels of the chosen attributes, or of its sound task.
Labels asked_labels(const ClipPlan& plan, const std::vector<std::string>& attributes) {
  Labels labels;
  for (const auto& [attribute, label] : plan.labels) {
    const bool task = std::find(kSoundTasks.begin(), kSoundTasks.end(), attribute) != kSoundTasks.end();
    if (task || std::find(attributes.begin(), attributes.end(), attribute) != attributes.end())
      labels[attribute] = label;
  }
  return labels;
}

struct Repeats {
  std::size_t first_hop;
  std::size_t second_hop;
};

// A clip with one label only is asked about it more often than one with three.
Repeats repeats_of(const ClipPlan& plan) {
  if (plan.speech) return {2, 1};
  if (plan.track == kAnimal) return {4, 2};
  return {3, 0};
}

CorpusItem item(const Question& question, const std::optional<Clip>& clip, const std::string& attribute,
                const std::string& label) {
  return {clip, question.text(), question.answer, attribute, label};
}

Probe probe(std::size_t number, Split split, ProbeKind kind, const Question& question, const std::string& attribute) {
  Probe probe;
  probe.id = fmt::format("{}-{:06}", split_name(split), number);
  probe.kind = kind;
  probe.attribute = attribute;
  probe.track = attribute;
  probe.question = question.text();
  probe.options = question.options;
  probe.answer = question.answer;
  return probe;
}

}  // namespace

Corpus lessons(std::span<const ClipPlan> plans, Split split, const std::vector<std::string>& attributes,
               const std::filesystem::path& audio_root, Rng rng) {
  std::vector<CorpusItem> items;
  for (const ClipPlan& plan : plans) {
    if (plan.split != split) continue;
    const Clip clip = clip_below(audio_root, plan);
    const Repeats repeats = repeats_of(plan);
    for (const auto& [attribute, label] : asked_labels(plan, attributes)) {
      Rng own = rng.fork("clip-" + attribute, plan.number);
      std::vector<std::size_t> wordings(wording_count(attribute));
      std::iota(wordings.begin(), wordings.end(), std::size_t{0});
      own.shuffle(wordings);
      for (std::size_t i = 0; i < repeats.first_hop; ++i) {
        const LetterCase letter_case = draw_letter_case(own);
        items.push_back(
            item(label_question(attribute, wordings[i], label, {}, letter_case, own), clip, attribute, label));
      }
      for (std::size_t i = 0; i < repeats.second_hop && property_count(attribute) > 0; ++i) {
        const std::size_t property = own.below(property_count(attribute));
        items.push_back(item(property_question(attribute, property, label, {}, own), clip, attribute, label));
      }
    }
  }
  for (std::size_t fact = 0; fact < text_fact_count(); ++fact) {
    Rng own = rng.fork("text", fact);
    for (const std::size_t wording : text_wordings(fact, split)) {
      for (int i = 0; i < kTextOrdersTaught; ++i) items.push_back(item(text_question(fact, wording, own), {}, "", ""));
    }
  }
  return Corpus(std::move(items));
}

std::vector<Probe> examination(std::span<const ClipPlan> plans, Split split, const std::vector<std::string>& attributes,
                               const std::filesystem::path& audio_root, Rng rng) {
  std::vector<Probe> probes;
  for (const ClipPlan& plan : plans) {
    if (plan.split != split) continue;
    const Clip clip = clip_below(audio_root, plan);
    for (const auto& [attribute, label] : asked_labels(plan, attributes)) {
      Rng own = rng.fork("clip-" + attribute, plan.number);
      const std::size_t wording = plan.number % wording_count(attribute);
      const LetterCase letter_case = draw_letter_case(own);
      const Question first = label_question(attribute, wording, label, {}, letter_case, own);
      probes.push_back(probe(probes.size(), split, ProbeKind::kPlain, first, attribute));
      probes.back().clip = clip;
      if (property_count(attribute) == 0) continue;
      const Question second = property_question(attribute, own.below(property_count(attribute)), label, {}, own);
      probes.push_back(probe(probes.size(), split, ProbeKind::kPortability, second, attribute));
      probes.back().clip = clip;
    }
  }
  for (std::size_t fact = 0; fact < text_fact_count(); ++fact) {
    Rng own = rng.fork("text", fact);
    for (const std::size_t wording : text_wordings(fact, split)) {
      for (int i = 0; i < kTextOrdersAsked; ++i) {
        probes.push_back(
            probe(probes.size(), split, ProbeKind::kTextLocality, text_question(fact, wording, own), "Text"));
        probes.back().subject = text_fact_subject(fact);
      }
    }
  }
  return probes;
}

}  // namespace retune::synth
