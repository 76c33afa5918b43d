#include "tensor/staged_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <fstream>
#include <iterator>

#include "tensor/error.h"

namespace retune {
namespace {

namespace fs = std::filesystem;

class StagedOutput : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              ("staged_output_" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  static std::string content(const fs::path& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder_)) result.push_back(entry.path().filename());
    return result;
  }
  static std::string message_of(const std::function<void()>& action, ErrorCode code) {
    try {
      action();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code);
      return error.what();
    }
    ADD_FAILURE() << "no error";
    return "";
  }

  fs::path folder_;
};

TEST_F(StagedOutput, AFolderAppearsWholeAtCommit) {
  StagedFolder out(folder_ / "made" / "out", Existing::kRefuse);
  fs::create_directory(out.path() / "onnx");
  write_file_atomically(out.path() / "onnx" / "a", "alpha");
  EXPECT_FALSE(fs::exists(folder_ / "made" / "out"));
  EXPECT_EQ(out.path().parent_path(), folder_ / "made");
  EXPECT_THAT(out.path().filename(),
              testing::ResultOf([](const fs::path& p) { return p.string(); }, testing::StartsWith("out.partial-")));
  out.commit();
  EXPECT_EQ(content(folder_ / "made" / "out" / "onnx" / "a"), "alpha");
  EXPECT_FALSE(fs::exists(out.path()));
}

TEST_F(StagedOutput, AFolderThatIsNotCommittedLeavesNothingNotEvenItsParents) {
  {
    StagedFolder out(folder_ / "made" / "deep" / "out", Existing::kRefuse);
    write_file_atomically(out.path() / "a", "alpha");
  }
  EXPECT_THAT(names(), testing::IsEmpty());
}

TEST_F(StagedOutput, TwoWritersOfOneFolderDoNotMeet) {
  StagedFolder first(folder_ / "out", Existing::kRefuse), second(folder_ / "out", Existing::kRefuse);
  EXPECT_NE(first.path(), second.path());
  write_file_atomically(first.path() / "a", "first");
  write_file_atomically(second.path() / "a", "second");
  first.commit();
  EXPECT_THROW(second.commit(), Error);
  EXPECT_EQ(content(folder_ / "out" / "a"), "first");
}

TEST_F(StagedOutput, AFullFolderIsReplacedOnlyWhenAsked) {
  fs::create_directory(folder_ / "out");
  StagedFolder(folder_ / "out", Existing::kRefuse).commit();  // empty: no need to ask
  std::ofstream(folder_ / "out" / "old") << "old";
  EXPECT_THAT(message_of([&] { StagedFolder(folder_ / "out", Existing::kRefuse); }, ErrorCode::kUser),
              testing::HasSubstr("--force"));
  StagedFolder out(folder_ / "out" / "", Existing::kReplace);
  write_file_atomically(out.path() / "new", "new");
  EXPECT_TRUE(fs::exists(folder_ / "out" / "old"));
  out.commit();
  EXPECT_FALSE(fs::exists(folder_ / "out" / "old"));
  EXPECT_EQ(content(folder_ / "out" / "new"), "new");
  EXPECT_THAT(names(), testing::ElementsAre("out"));
}

TEST_F(StagedOutput, NeverReplacesAFileOrWhatHoldsTheWorkingDirectory) {
  std::ofstream(folder_ / "file") << "x";
  EXPECT_THROW(StagedFolder(folder_ / "file", Existing::kReplace), Error);
  EXPECT_THROW(StagedFolder(folder_ / "file" / "below", Existing::kReplace), Error);
  EXPECT_THROW(StagedFolder(fs::current_path(), Existing::kReplace), Error);
  EXPECT_THROW(StagedFolder("/", Existing::kReplace), Error);
  EXPECT_THROW(StagedFolder("", Existing::kReplace), Error);
}

TEST_F(StagedOutput, AFileIsReplacedWholeOrNotAtAll) {
  write_file_atomically(folder_ / "a", "one");
  {
    StagedFile file(folder_ / "a");
    file.write("half");
  }
  EXPECT_EQ(content(folder_ / "a"), "one");
  const std::string large(5 << 20, 'z');
  StagedFile file(folder_ / "a");
  file.write("head ");
  file.write(large);
  file.write(" tail");
  file.close();
  EXPECT_EQ(content(folder_ / "a"), "one");
  file.commit();
  EXPECT_EQ(content(folder_ / "a"), "head " + large + " tail");
  EXPECT_THAT(names(), testing::ElementsAre("a"));
}

TEST_F(StagedOutput, AFileWrittenByNameIsCommittedToo) {
  StagedFile file(folder_ / "a");
  std::ofstream(file.path()) << "by another library";
  file.commit();
  EXPECT_EQ(content(folder_ / "a"), "by another library");
}

TEST_F(StagedOutput, AFileNeedsItsFolder) {
  EXPECT_THROW(write_file_atomically(folder_ / "none" / "a", "x"), Error);
  EXPECT_THROW(write_file_atomically(folder_, "x"), Error);
}

// A file size limit stands in for the full disk: write() fails half-way just so.
TEST_F(StagedOutput, AWriteThatFailsHalfWayIsOneLineAndLeavesNothing) {
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small{1 << 20, old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string message =
      message_of([&] { write_file_atomically(folder_ / "a", std::string(3 << 20, 'x')); }, ErrorCode::kFailure);
  setrlimit(RLIMIT_FSIZE, &old);
  EXPECT_THAT(message, testing::HasSubstr((folder_ / "a").string()));
  EXPECT_EQ(message.find('\n'), std::string::npos);
  EXPECT_THAT(names(), testing::IsEmpty());
}

TEST_F(StagedOutput, OutputInsideItsSourceIsRefusedThroughLinksToo) {
  fs::create_directories(folder_ / "model" / "onnx");
  fs::create_directory_symlink(folder_ / "model", folder_ / "link");
  EXPECT_THROW(check_output_apart(folder_ / "model", folder_ / "model"), Error);
  EXPECT_THROW(check_output_apart(folder_ / "model" / "out", folder_ / "model"), Error);
  EXPECT_THROW(check_output_apart(folder_ / "link" / "onnx" / "out", folder_ / "model"), Error);
  EXPECT_THROW(check_output_apart(folder_ / "model" / ".." / "model" / "out", folder_ / "link"), Error);
  EXPECT_NO_THROW(check_output_apart(folder_ / "model-edited", folder_ / "model"));
  EXPECT_NO_THROW(check_output_apart(folder_ / "model" / ".." / "out", folder_ / "model"));
}

}  // namespace
}  // namespace retune
