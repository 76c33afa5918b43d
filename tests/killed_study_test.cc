// The program itself, killed with SIGKILL in the middle of its work and started again.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <map>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "recipes/study_folder.h"
#include "tensor/error.h"
#include "tensor/rng.h"
#include "tests/tiny_bundle.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int kKills = 10;
constexpr int kKillsWhileExporting = 4;
constexpr const char* kProgram = RETUNE_PROGRAM;  // tests/CMakeLists.txt

// Files that only one of two trees has, or that differ.
std::vector<std::string> differing(const std::map<std::string, std::string>& a,
                                   const std::map<std::string, std::string>& b) {
  std::vector<std::string> names;
  for (const auto& [name, bytes] : a)
    if (const auto other = b.find(name); other == b.end() || other->second != bytes) names.push_back(name);
  for (const auto& [name, bytes] : b)
    if (!a.contains(name)) names.push_back(name);
  return names;
}

// The program as a process of its own. What it prints goes to a file beside the study.
class Running {
 public:
  explicit Running(const fs::path& out) : log_(out.string() + ".log"), start_(Clock::now()) {
    std::vector<std::string> words = {
        kProgram,    "edit", "demo/bundle", "--recipe", "recipes/rome.json", "--facts", "demo/facts.json",
        "--limit",   "6",    "--mode",      "single",   "--export",          "2",       "--out",
        out.string()};
    std::vector<char*> argv;
    argv.reserve(words.size() + 1);
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    const int spawned = posix_spawn(&child_, kProgram, &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (spawned != 0) throw failure("cannot run {}", kProgram);
  }
  ~Running() { kill(); }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
  // Looks every millisecond until `condition` holds or the program has ended: which is false.
  template <class Condition>
  bool wait_until(Condition&& condition) {
    while (!condition()) {
      if (waitpid(child_, &status_, WNOHANG) == child_) ended_ = true;
      if (ended_) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }
  // False if it had ended by itself.
  bool kill() {
    if (ended_) return false;
    ::kill(child_, SIGKILL);
    waitpid(child_, &status_, 0);
    ended_ = true;
    return WIFSIGNALED(status_);
  }
  void expect_success() const { EXPECT_TRUE(WIFEXITED(status_) && WEXITSTATUS(status_) == 0) << bytes_of(log_); }

 private:
  fs::path log_;
  Clock::time_point start_;
  pid_t child_ = 0;
  int status_ = 0;
  bool ended_ = false;
};

class KilledStudy : public testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists("demo/bundle/config.json") || !fs::exists("demo/facts.json"))
      GTEST_SKIP() << "demo/bundle or demo/facts.json is not here";
  }

  // Whether the bundle is being written there, or a run was killed while it was.
  static bool exporting(const fs::path& out) {
    std::error_code gone;
    for (const auto& entry : fs::directory_iterator(out, gone))
      if (entry.path().filename().string().starts_with(std::string(kBundleFolder) + ".partial-")) return true;
    return false;
  }

  // Every entry but the machine's facts; folders have no bytes, so that an abandoned one is seen too.
  static std::map<std::string, std::string> contents(const fs::path& out) {
    auto entries = files_below(out);
    entries.erase(kTimingFile);
    for (const auto& entry : fs::recursive_directory_iterator(out))
      if (entry.is_directory()) entries[entry.path().lexically_relative(out).string() + "/"] = "";
    return entries;
  }

  // Runs to the end; measures how long that takes, and when the bundle was begun.
  void run_whole(const fs::path& out) {
    Running program(out);
    ASSERT_TRUE(program.wait_until([&] { return exporting(out); })) << "no bundle was written";
    export_begins_ = program.seconds();
    program.wait_until([] { return false; });
    whole_ = program.seconds();
    program.expect_success();
  }

  // Runs and kills at a moment that lies evenly in the whole run, or in its export. False if the run ended before.
  bool run_and_kill(const fs::path& out, bool while_exporting) {
    Running program(out);
    double moment = moments_.uniform(0, whole_);
    if (while_exporting) {
      // What a killed run left of its bundle lies there until this run sweeps it away.
      program.wait_until([&] { return !exporting(out); });
      program.wait_until([&] { return exporting(out); });
      moment = program.seconds() + moments_.uniform(0, whole_ - export_begins_);
    }
    if (program.wait_until([&] { return program.seconds() >= moment; }) && program.kill()) {
      killed_at_ += fmt::format(" {:.3f}{}", moment, while_exporting ? " (export)" : "");
      return true;
    }
    program.expect_success();
    return false;
  }

  ScratchFolder scratch_;
  Rng moments_ = Rng(11).fork("kills");
  double whole_ = 0, export_begins_ = 0;  // seconds from the start of a run
  std::string killed_at_;
};

TEST_F(KilledStudy, EndsWithTheBytesOfOneThatWasNot) {
  ASSERT_NO_FATAL_FAILURE(run_whole(scratch_ / "whole"));
  const auto expected = contents(scratch_ / "whole");
  EXPECT_TRUE(expected.contains("edits/0006/patch.h5"));
  EXPECT_TRUE(expected.contains("bundle/onnx/decoder_model_merged.onnx"));

  const fs::path out = scratch_ / "killed";
  const auto expect_whole = [&] {
    EXPECT_EQ(differing(contents(out), expected), std::vector<std::string>()) << "killed after seconds" << killed_at_;
  };
  // A study that got to its end before its kill is begun anew, so that there are always cells to lose.
  for (int kills = 0; kills < kKills && !HasFailure();) {
    if (run_and_kill(out, kills >= kKills - kKillsWhileExporting)) {
      ++kills;
      continue;
    }
    expect_whole();
    fs::remove_all(out);
  }
  Running last(out);
  last.wait_until([] { return false; });
  last.expect_success();
  expect_whole();
}

}  // namespace
}  // namespace retune
