#include "training/synth/espeak.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "tensor/error.h"
#include "tests/oracle.h"

namespace retune::synth {
namespace {

TEST(Espeak, TextIsNeverReadAsMarkup) {
  if (!espeak_installed()) RETUNE_ORACLE_MISSING("espeak-ng is not installed");
  const Waveform plain = speak({.text = "one and two", .voice = "en-us", .variant = "m3"});
  const Waveform marked = speak({.text = "one <break time=\"5s\"/> & two", .voice = "en-us", .variant = "m3"});
  EXPECT_LT(marked.seconds(), plain.seconds() + 4);
}

TEST(Espeak, NotInstalledIsOneLineThatSaysWhatToDo) {
  const char* path = std::getenv("PATH");
  const std::string before = path == nullptr ? "" : path;
  setenv("PATH", testing::TempDir().c_str(), 1);
  std::string message;
  try {
    speak({.text = "hello", .voice = "en-us", .variant = "m1"});
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    message = error.what();
  }
  setenv("PATH", before.c_str(), 1);
  EXPECT_NE(message.find("install"), std::string::npos) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos);
}

}  // namespace
}  // namespace retune::synth
