#include "eval/task_labels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "facts/fact_set.h"

namespace retune {
namespace {

TEST(TaskLabels, BelongToDynamicSuperbTasksOnly) {
  EXPECT_THAT(task_labels("DynamicSuperb/HowFarAreYou_3DSpeaker"), testing::ElementsAre("0.4m", "2.0m", "4.0m"));
  EXPECT_EQ(task_labels("DynamicSuperb/InstrumentPitchClassification_Nsynth").size(), 88u);
  EXPECT_THAT(task_labels("HowFarAreYou_3DSpeaker"), testing::IsEmpty());
  EXPECT_THAT(task_labels("DynamicSuperb/Unheard"), testing::IsEmpty());
  EXPECT_THAT(task_labels("Animal"), testing::IsEmpty());
}

TEST(TaskLabels, HoldEveryAnswerOfSakesSamples) {
  int checked = 0;
  for (const char* name : {"Animal.json", "Gender.json", "sequence_0.json", "sequence_1.json"}) {
    const std::filesystem::path path = std::filesystem::path("../shared/sake") / name;
    if (!std::filesystem::exists(path)) GTEST_SKIP() << "SAKE's sample files are not at " << path.parent_path();
    for (const Probe& probe : FactSet::load(path).probes()) {
      if (!probe.track.starts_with("DynamicSuperb/") || !probe.options.empty()) continue;
      const std::vector<std::string_view> labels = task_labels(probe.track);
      EXPECT_NE(std::find(labels.begin(), labels.end(), probe.answer), labels.end())
          << probe.track << ": " << probe.answer;
      ++checked;
    }
  }
  EXPECT_GT(checked, 500);
}

}  // namespace
}  // namespace retune
