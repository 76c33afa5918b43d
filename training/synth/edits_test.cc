#include "training/synth/edits.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "facts/option_list.h"

namespace retune::synth {
namespace {

// Plans only: no sound is made here, so these tests need no espeak-ng.
struct Data {
  SynthOptions options;
  std::vector<ClipPlan> plans;
  std::map<std::string, Labels> truth;  // by clip name
  ClipPool pool;

  explicit Data(SynthOptions o) : options(std::move(o)), plans(plan_clips(options)), pool(plans, Split::kTest) {
    for (const ClipPlan& plan : plans) truth[plan.track + "/" + plan.file] = plan.labels;
  }
  EditSource source() const { return {pool, options.attributes, "audio"}; }
  const std::string& label(const Clip& clip, const std::string& attribute) const {
    return truth.at(clip.name()).find(attribute)->second;
  }
};

SynthOptions smallest() {
  SynthOptions options;
  options.train_clips = options.val_clips = options.test_clips = 100;
  return options;
}

std::map<std::string, const Probe*> by_name(const Fact& fact) {
  std::map<std::string, const Probe*> probes;
  for (const Probe& probe : fact.probes) probes[probe.id.substr(probe.id.find('/') + 1)] = &probe;
  return probes;
}

TEST(Edits, HaveAllProbesWithTheClipsAndLabelsTheirTypesAskFor) {
  const Data data(smallest());
  const FactSet facts = single_edits(data.source(), 30, Portability::kAsked, Rng(5));
  ASSERT_EQ(facts.facts().size(), 120u);
  for (const Fact& fact : facts.facts()) {
    const EditRequest& edit = fact.request;
    const auto probes = by_name(fact);
    EXPECT_EQ(data.label(edit.clip, edit.attribute), edit.old_label);
    EXPECT_NE(edit.old_label, edit.new_label);
    EXPECT_GE(find_label(edit.options, edit.old_label), 0);
    EXPECT_GE(find_label(edit.options, edit.new_label), 0);
    EXPECT_EQ(edit.options.size(), edit.attribute == "Gender" ? 2u : 4u);

    const Probe& same = *probes.at("generality-1");
    const Probe& other = *probes.at("generality-2");
    const Probe& both = *probes.at("generality-3");
    EXPECT_EQ(same.clip->name(), edit.clip.name());
    EXPECT_NE(same.question, edit.question);
    EXPECT_EQ(other.question, edit.question);
    EXPECT_NE(other.clip->name(), edit.clip.name());
    EXPECT_EQ(data.label(*other.clip, edit.attribute), edit.old_label);
    EXPECT_EQ(both.clip->name(), other.clip->name());
    EXPECT_EQ(both.question, same.question);
    for (const Probe* probe : {&same, &other, &both}) EXPECT_EQ(probe->answer, edit.new_label);

    const Probe& portability = *probes.at("portability");
    EXPECT_EQ(portability.clip->name(), edit.clip.name());
    EXPECT_FALSE(probes.at("text_locality-1")->clip.has_value());
    EXPECT_EQ(fact.probes.size(), edit.attribute == "Gender" ? 9u : 10u);
  }
}

TEST(Edits, LocalityTypesAreThoseThatFactsReadFromTheContent) {
  const Data data(smallest());
  const FactSet facts = single_edits(data.source(), 20, Portability::kAsked, Rng(6));
  for (const Fact& fact : facts.facts()) {
    std::set<int> types;
    for (const Probe& probe : fact.probes) {
      if (probe.kind != ProbeKind::kAudioLocality) continue;
      types.insert(probe.type);
      EXPECT_EQ(probe.type,
                audio_locality_type(fact.request.attribute, fact.request.new_label, probe.track, probe.answer))
          << probe.id;
      EXPECT_TRUE(same_label(probe.answer, data.label(*probe.clip, probe.track))) << probe.id << ": not the truth";
      EXPECT_FALSE(probe.track == fact.request.attribute && same_label(probe.answer, fact.request.old_label))
          << probe.id;
    }
    EXPECT_EQ(types, (fact.request.attribute == "Gender" ? std::set<int>{1, 3, 4} : std::set<int>{1, 2, 3, 4}));
  }
}

TEST(Edits, TrainingFactsLeavePortabilityOut) {
  const Data data(smallest());
  const FactSet facts = single_edits(data.source(), 3, Portability::kLeftOut, Rng(7));
  for (const Probe& probe : facts.probes()) EXPECT_NE(probe.kind, ProbeKind::kPortability);
}

TEST(Edits, SequencesOfTenNeitherChainNorContradict) {
  const Data data(smallest());
  const FactSet facts = sequential_edits(data.source(), 10, Rng(8));
  ASSERT_EQ(facts.sequences().size(), 10u);
  for (const Sequence& sequence : facts.sequences()) {
    EXPECT_EQ(sequence.end - sequence.begin, 10u);
    std::set<std::pair<std::string, std::string>> used;
    std::set<std::pair<std::string, std::string>> old;
    for (std::size_t i = sequence.begin; i < sequence.end; ++i) {
      const EditRequest& edit = facts.facts()[i].request;
      EXPECT_TRUE(used.emplace(edit.attribute, edit.old_label).second) << edit.id;
      EXPECT_TRUE(used.emplace(edit.attribute, edit.new_label).second) << edit.id;
      old.emplace(edit.attribute, edit.old_label);
    }
    for (std::size_t i = sequence.begin; i < sequence.end; ++i) {
      for (const Probe& probe : facts.facts()[i].probes) {
        if (probe.kind != ProbeKind::kAudioLocality) continue;
        EXPECT_FALSE(old.contains({probe.track, data.label(*probe.clip, probe.track)})) << probe.id;
      }
    }
  }
}

TEST(Edits, OneAttributeAloneHasNoTypeOne) {
  SynthOptions options = smallest();
  options.attributes = {"Animal"};
  const Data data(options);
  const FactSet facts = single_edits(data.source(), 5, Portability::kAsked, Rng(9));
  for (const Probe& probe : facts.probes()) EXPECT_FALSE(probe.kind == ProbeKind::kAudioLocality && probe.type == 1);
}

}  // namespace
}  // namespace retune::synth
