#include "cli/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

namespace retune {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

class Bar : public testing::Test {
 protected:
  double now_ = 100;
  std::ostringstream out_, err_;
  Clock clock_ = [this] { return now_; };
};

TEST_F(Bar, ShowsNothingInItsFirstSecond) {
  Console console({out_, err_, true}, "info");
  ProgressBar bar(console, "clips", clock_);
  now_ += 0.9;
  bar.update(5, 10);
  EXPECT_EQ(err_.str(), "");
}

TEST_F(Bar, TellsTheTimeLeftFromTheRateSoFar) {
  Console console({out_, err_, true}, "info");
  ProgressBar bar(console, "clips", clock_);
  bar.update(1, 100);
  now_ += 30;
  bar.update(25, 100, "loss 0.5");
  EXPECT_THAT(err_.str(), HasSubstr("clips [######..................] 25/100 (25 %), 1:30 left, loss 0.5"));
}

TEST_F(Bar, CountsFromWhereAResumedRunBegan) {
  Console console({out_, err_, true}, "info");
  ProgressBar bar(console, "clips", clock_);
  bar.update(51, 100);
  now_ += 20;
  bar.update(60, 100);
  EXPECT_THAT(err_.str(), HasSubstr("1:20 left")) << "10 of the last 50 took 20 s, so 40 take 80 s";
}

TEST_F(Bar, TakesItsLineAwayOnATerminal) {
  {
    Console console({out_, err_, true}, "info");
    ProgressBar bar(console, "clips", clock_);
    now_ += 2;
    bar.update(1, 2);
  }
  EXPECT_THAT(err_.str(), EndsWith("\r\x1b[K"));
}

TEST_F(Bar, WritesPlainLinesWhereNobodyWatches) {
  Console console({out_, err_, false}, "info");
  ProgressBar bar(console, "clips", clock_);
  for (int i = 1; i <= 30; ++i) {
    now_ += 1;
    bar.update(i, 40);
  }
  const std::string text = err_.str();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3) << text;
  EXPECT_THAT(text, testing::StartsWith("retune: clips: 1/40 (2 %), 0:39 left\n")) << "after a second, not after ten";
  EXPECT_THAT(text, HasSubstr("retune: clips: 11/40 (28 %), 0:29 left\n"));
  EXPECT_EQ(text.find('\r'), std::string::npos);
}

TEST_F(Bar, IsSilentWhenOnlyErrorsAreWanted) {
  Console console({out_, err_, true}, "error");
  ProgressBar bar(console, "clips", clock_);
  now_ += 60;
  bar.update(1, 2);
  console.warning("not this either");
  EXPECT_EQ(err_.str(), "");
}

TEST(DurationText, CarriesSecondsAndMinutes) {
  EXPECT_EQ(duration_text(0.4), "0:00");
  EXPECT_EQ(duration_text(59.6), "1:00");
  EXPECT_EQ(duration_text(3600 + 25 * 60 + 5), "1:25:05");
}

}  // namespace
}  // namespace retune
