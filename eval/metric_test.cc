#include "eval/metric.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tensor/error.h"

namespace retune {
namespace {

TEST(Metric, StandInTheOrderOfReports) {
  std::vector<std::string> names;
  for (const Metric& metric : metrics()) {
    names.push_back(metric.name);
    EXPECT_FALSE(metric.formula.empty());
    EXPECT_EQ(metric_from_name(metric.name).type, metric.type);
  }
  EXPECT_THAT(names, testing::ElementsAre("reliability", "generality", "generality_1", "generality_2", "generality_3",
                                          "audio_locality", "audio_locality_1", "audio_locality_2", "audio_locality_3",
                                          "audio_locality_4", "text_locality", "portability", "accuracy"));
}

TEST(Metric, AMisspeltNameIsAnErrorThatNamesTheNearest) {
  try {
    metric_from_name("text_localty");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    EXPECT_STREQ(error.what(), "no metric is called 'text_localty'; the nearest name is 'text_locality'");
  }
}

}  // namespace
}  // namespace retune
