#include "cli/interrupt.h"

#include <gtest/gtest.h>

#include <csignal>

#include "tensor/error.h"

namespace retune {
namespace {

TEST(InterruptGuard, TurnsTheFirstSignalIntoAFlag) {
  const InterruptGuard guard;
  EXPECT_NO_THROW(guard.check());
  std::raise(SIGTERM);
  EXPECT_TRUE(guard.flag().load());
  try {
    guard.check();
    FAIL() << "the flag is raised";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInterrupted);
  }
}

// A closed terminal ended the program with 129 and without a word.
TEST(InterruptGuard, TakesAClosedTerminalForAnInterruption) {
  std::signal(SIGHUP, SIG_DFL);
  const InterruptGuard guard;
  std::raise(SIGHUP);
  EXPECT_TRUE(guard.flag().load());
}

TEST(InterruptGuard, LeavesAHangupIgnoredThatNohupIgnores) {
  std::signal(SIGHUP, SIG_IGN);
  const InterruptGuard guard;
  std::raise(SIGHUP);
  EXPECT_FALSE(guard.flag().load());
}

TEST(InterruptGuard, IsLoweredForTheNextCommand) {
  {
    const InterruptGuard guard;
    std::raise(SIGINT);
  }
  const InterruptGuard guard;
  EXPECT_FALSE(guard.flag().load());
}

TEST(InterruptGuardDeathTest, ASecondSignalEndsTheProgramWithExitCodeThree) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        const InterruptGuard guard;
        std::raise(SIGINT);
        std::raise(SIGINT);
      },
      testing::ExitedWithCode(3), "retune: error: interrupted");
}

TEST(InterruptGuardDeathTest, WithoutAGuardTheFirstOneDoes) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        install_interrupt_handler();
        std::raise(SIGTERM);
      },
      testing::ExitedWithCode(3), "retune: error: interrupted");
}

}  // namespace
}  // namespace retune
