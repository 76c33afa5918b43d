#include "training/synth/lessons.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "facts/option_list.h"

namespace retune::synth {
namespace {

SynthOptions smallest() {
  SynthOptions options;
  options.train_clips = options.val_clips = options.test_clips = 100;
  return options;
}

TEST(Lessons, HoldEveryLabelOfEveryTrainingClipAndNoOtherClip) {
  const std::vector<ClipPlan> plans = plan_clips(smallest());
  const Corpus corpus = lessons(plans, Split::kTrain, SynthOptions{}.attributes, "audio", Rng(10));
  std::map<std::string, Labels> taught;
  std::size_t texts = 0;
  for (const CorpusItem& item : corpus.items()) {
    const OptionList options = parse_options(item.question);
    EXPECT_NE(std::find(options.texts.begin(), options.texts.end(), item.answer), options.texts.end()) << item.question;
    if (!item.clip) {
      ++texts;
      continue;
    }
    EXPECT_NE(item.clip->name().find("_train_"), std::string::npos);
    taught[item.clip->name()][item.attribute] = item.label;
  }
  EXPECT_GE(texts, 60u);
  for (const ClipPlan& plan : plans) {
    if (plan.split != Split::kTrain) continue;
    EXPECT_EQ(taught.at(plan.track + "/" + plan.file), plan.labels) << plan.file;
  }
}

TEST(Examination, AsksEveryTestClipAndAnswersWithTheTruth) {
  const std::vector<ClipPlan> plans = plan_clips(smallest());
  std::map<std::string, Labels> truth;  // by clip name
  for (const ClipPlan& plan : plans) truth[plan.track + "/" + plan.file] = plan.labels;
  const std::vector<Probe> probes = examination(plans, Split::kTest, SynthOptions{}.attributes, "audio", Rng(11));
  std::set<std::string> ids;
  std::set<std::pair<std::string, std::string>> asked;
  std::map<ProbeKind, std::size_t> kinds;
  for (const Probe& probe : probes) {
    EXPECT_TRUE(ids.insert(probe.id).second);
    EXPECT_GE(find_label(probe.options, probe.answer), 0) << probe.id;
    ++kinds[probe.kind];
    if (probe.kind != ProbeKind::kPlain) continue;
    asked.emplace(probe.clip->name(), probe.attribute);
    EXPECT_TRUE(same_label(probe.answer, truth.at(probe.clip->name()).at(probe.attribute))) << probe.id;
  }
  EXPECT_GE(kinds[ProbeKind::kTextLocality], 60u);
  EXPECT_GT(kinds[ProbeKind::kPortability], 100u);
  for (const ClipPlan& plan : plans) {
    if (plan.split != Split::kTest) continue;
    for (const auto& [attribute, label] : plan.labels)
      EXPECT_TRUE(asked.contains({plan.track + "/" + plan.file, attribute}));
  }
}

}  // namespace
}  // namespace retune::synth
