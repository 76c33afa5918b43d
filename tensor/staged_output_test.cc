#include "tensor/staged_output.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
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
  StagedFolder out(folder_ / "out" / "", Existing::kReplace, {.holds = {"old"}});
  write_file_atomically(out.path() / "new", "new");
  EXPECT_TRUE(fs::exists(folder_ / "out" / "old"));
  out.commit();
  EXPECT_FALSE(fs::exists(folder_ / "out" / "old"));
  EXPECT_EQ(content(folder_ / "out" / "new"), "new");
  EXPECT_THAT(names(), testing::ElementsAre("out"));
}

// --force deleted any folder that was named by mistake, a model or a photo album.
TEST_F(StagedOutput, ReplacesOnlyWhatHasTheMarksOfAnEarlierOutput) {
  const FolderMarks marks{.holds = {"results", "summary"}, .holds_none = {"journal"}};
  const auto refused = [&](const FolderMarks& given) {
    std::string message =
        message_of([&] { StagedFolder(folder_ / "out", Existing::kReplace, given); }, ErrorCode::kUser);
    EXPECT_THAT(message, testing::HasSubstr("is not replaced"));
    EXPECT_THAT(names(), testing::ElementsAre("out"));
    return message;
  };
  fs::create_directory(folder_ / "out");
  write_file_atomically(folder_ / "out" / "results", "of hours");
  refused({});
  EXPECT_THAT(refused(marks), testing::HasSubstr("holds no summary"));
  write_file_atomically(folder_ / "out" / "summary", "x");
  StagedFolder late(folder_ / "out", Existing::kReplace, marks);
  write_file_atomically(folder_ / "out" / "journal", "x");
  EXPECT_THROW(late.commit(), Error) << "what was put there meanwhile counts too";
  fs::remove_all(late.path());
  EXPECT_THAT(refused(marks), testing::HasSubstr("holds journal"));
  EXPECT_EQ(content(folder_ / "out" / "results"), "of hours");
}

TEST_F(StagedOutput, NeverReplacesTheHomeDirectoryNorWhatHoldsIt) {
  const std::string home = std::getenv("HOME") == nullptr ? "" : std::getenv("HOME");
  fs::create_directories(folder_ / "out" / "home");
  setenv("HOME", (folder_ / "out" / "home").c_str(), 1);
  for (const fs::path& out : {folder_ / "out", folder_ / "out" / "home"})
    EXPECT_THAT(message_of([&] { StagedFolder(out, Existing::kReplace, {.holds = {"home"}}); }, ErrorCode::kUser),
                testing::HasSubstr("home directory"));
  setenv("HOME", home.c_str(), 1);
  EXPECT_THAT(names(), testing::ElementsAre("out"));
}

TEST_F(StagedOutput, NeverReplacesAMountPoint) {
  fs::create_directory(folder_ / "out");
  const pid_t child = fork();
  if (child == 0) {  // mounts in a namespace of its own, which goes with it
    if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("none", (folder_ / "out").c_str(), "tmpfs", 0, nullptr) != 0)
      _exit(2);
    try {
      StagedFolder(folder_ / "out", Existing::kReplace);
    } catch (const Error& error) {
      _exit(std::string(error.what()).find("mount point") != std::string::npos ? 0 : 1);
    }
    _exit(1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 2) GTEST_SKIP() << "this process may not mount";
  EXPECT_EQ(WEXITSTATUS(status), 0);
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

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(value_); }
  int value() const { return value_; }

 private:
  int value_;
};

std::int64_t bytes_on_disk(const fs::path& file) {
  struct stat status {};
  stat(file.c_str(), &status);
  return std::int64_t{status.st_blocks} * 512;
}

TEST_F(StagedOutput, ARangeOfAFileIsAppendedInItsPlace) {
  const std::string source = "0123456789" + std::string(3 << 20, 'x') + "abcdef";
  write_file_atomically(folder_ / "source", source);
  const Descriptor file(open((folder_ / "source").c_str(), O_RDONLY));
  StagedFile out(folder_ / "out");
  out.write("head ");
  out.append(file.value(), 8, source.size() - 10);
  out.write(" between ");
  out.append(file.value(), 0, 0);
  out.append(file.value(), source.size() - 1, 1);
  out.write(" tail");
  out.commit();
  EXPECT_EQ(content(folder_ / "out"), "head " + source.substr(8, source.size() - 10) + " between f tail");
}

TEST_F(StagedOutput, HolesOfAnAppendedFileStayHoles) {
  constexpr off_t kHole = 64 << 20;
  {
    std::ofstream stream(folder_ / "source", std::ios::binary);
    stream << "begin";
    stream.seekp(kHole);
    stream << "middle";
  }
  fs::resize_file(folder_ / "source", 2 * kHole);
  if (bytes_on_disk(folder_ / "source") > kHole) GTEST_SKIP() << "this file system stores holes";
  const Descriptor file(open((folder_ / "source").c_str(), O_RDONLY));
  StagedFile out(folder_ / "out");
  out.append(file.value(), 0, 2 * kHole);
  out.commit();
  EXPECT_TRUE(content(folder_ / "out") == content(folder_ / "source"));
  EXPECT_LT(bytes_on_disk(folder_ / "out"), kHole / 8);
}

// The kernel copies between two files of one file system only.
TEST_F(StagedOutput, AFileOfAnotherFileSystemIsAppendedToo) {
  const Descriptor memory(memfd_create("source", MFD_CLOEXEC));
  const std::string source(3 << 20, 'y');
  ASSERT_EQ(write(memory.value(), source.data(), source.size()), static_cast<ssize_t>(source.size()));
  StagedFile out(folder_ / "out");
  out.append(memory.value(), 1, source.size() - 1);
  out.commit();
  EXPECT_TRUE(content(folder_ / "out") == source.substr(1));
}

TEST_F(StagedOutput, AFileThatEndsTooEarlyIsNotAppended) {
  write_file_atomically(folder_ / "source", "short");
  const Descriptor file(open((folder_ / "source").c_str(), O_RDONLY));
  EXPECT_THAT(message_of([&] { StagedFile(folder_ / "out").append(file.value(), 2, 4); }, ErrorCode::kFailure),
              testing::HasSubstr("became shorter"));
  EXPECT_THAT(names(), testing::ElementsAre("source"));
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

// Output to a device, /dev/full say, took its place: root renamed a file over the node.
TEST_F(StagedOutput, NeverReplacesWhatIsNoRegularFile) {
  ASSERT_EQ(mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  fs::create_symlink("pipe", folder_ / "link");
  for (const char* name : {"pipe", "link"}) {
    EXPECT_THAT(message_of([&] { write_file_atomically(folder_ / name, "x"); }, ErrorCode::kUser),
                testing::HasSubstr("no regular file"));
    EXPECT_THROW(check_output_file(folder_ / name, Existing::kReplace), Error);
  }
  EXPECT_TRUE(fs::is_fifo(folder_ / "pipe"));
  EXPECT_THAT(names(), testing::UnorderedElementsAre("pipe", "link"));
}

TEST_F(StagedOutput, AFileThatIsThereIsReplacedOnlyWhenAsked) {
  EXPECT_NO_THROW(check_output_file(folder_ / "a", Existing::kRefuse));
  std::ofstream(folder_ / "a") << "x";
  EXPECT_THAT(message_of([&] { check_output_file(folder_ / "a", Existing::kRefuse); }, ErrorCode::kUser),
              testing::HasSubstr("--force"));
  EXPECT_NO_THROW(check_output_file(folder_ / "a", Existing::kReplace));
  for (const char* bad : {"none/a", "a/below", "."})
    EXPECT_THAT(message_of([&] { check_output_file(folder_ / bad, Existing::kReplace); }, ErrorCode::kUser),
                testing::HasSubstr("cannot write"));
}

// A pid that no process has: its own child's, waited for.
pid_t dead_process() {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  waitpid(child, nullptr, 0);
  return child;
}

// ".partial-SPACE-", as this process's own temporary names have it.
std::string partial_of_this_space() {
  const StagedFolder own(testing::TempDir() + "retune_space_of_pids", Existing::kReplace);
  const std::string name = own.path().filename().string().substr(std::strlen("retune_space_of_pids"));
  return name.substr(0, name.find(std::to_string(getpid())));
}

// What a killed writer left stayed for good, as large as a model, and nothing said so.
TEST_F(StagedOutput, RemovesWhatDeadWritersOfTheSameNameLeft) {
  const std::string dead = std::to_string(dead_process());
  const std::string alive = std::to_string(getppid());
  const auto leave = [&](const std::string& name) {
    fs::create_directory(folder_ / name);
    std::ofstream(folder_ / name / "half") << "x";
  };
  const std::string here = partial_of_this_space();
  leave("out" + here + dead + "-0");
  leave("out" + here + dead + "-12");
  // A process of another container, or of a machine that shares the folder, may have the number of a dead one here.
  const std::vector<std::string> kept = {"out" + here + alive + "-0",
                                         "another" + here + dead + "-0",
                                         "out" + here + dead + "-0.old",
                                         "out" + here + "mine-0",
                                         "out" + here + dead,
                                         "out" + here + "0-0",
                                         "out.partial-" + dead + "-0",
                                         "out.partial-01234567-" + dead + "-0"};
  for (const std::string& name : kept) leave(name);
  { const StagedFolder out(folder_ / "out", Existing::kRefuse); }
  EXPECT_THAT(names(), testing::UnorderedElementsAreArray(kept));

  std::ofstream(folder_ / ("file" + here + dead + "-0")) << "x";
  write_file_atomically(folder_ / "file", "x");
  EXPECT_FALSE(fs::exists(folder_ / ("file" + here + dead + "-0")));
}

// An output folder without permission was a failure of one command and a user error of another.
TEST_F(StagedOutput, APlaceThatCannotBeWrittenToIsTheUsersError) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become somebody else";
  fs::permissions(folder_, fs::perms::owner_all | fs::perms::others_read | fs::perms::others_exec);
  ASSERT_EQ(seteuid(65534), 0);
  EXPECT_THAT(message_of([&] { StagedFolder(folder_ / "out", Existing::kRefuse); }, ErrorCode::kUser),
              testing::HasSubstr("Permission denied"));
  EXPECT_THAT(message_of([&] { StagedFolder(folder_ / "deep" / "out", Existing::kRefuse); }, ErrorCode::kUser),
              testing::HasSubstr("Permission denied"));
  EXPECT_THAT(message_of([&] { write_file_atomically(folder_ / "a", "x"); }, ErrorCode::kUser),
              testing::HasSubstr("Permission denied"));
  ASSERT_EQ(seteuid(0), 0);
  EXPECT_THAT(message_of([&] { write_file_atomically(folder_ / std::string(300, 'n'), "x"); }, ErrorCode::kUser),
              testing::HasSubstr("too long"));
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

// With --force a folder that held the model was exchanged for the output, and the model was gone.
TEST_F(StagedOutput, OutputAroundItsSourceIsRefused) {
  fs::create_directories(folder_ / "all" / "model");
  std::ofstream(folder_ / "all" / "facts.json") << "[]";
  fs::create_directory_symlink(folder_ / "all", folder_ / "link");
  for (const char* source : {"model", "facts.json"}) {
    EXPECT_THAT(message_of([&] { check_output_apart(folder_ / "all", folder_ / "all" / source); }, ErrorCode::kUser),
                testing::HasSubstr("holds"));
    EXPECT_THROW(check_output_apart(folder_ / "link", folder_ / "all" / source), Error);
    EXPECT_THROW(check_output_holds_not(folder_, folder_ / "all" / source), Error);
    EXPECT_THROW(check_output_holds_not(folder_ / "all" / source, folder_ / "link" / source), Error);
    EXPECT_NO_THROW(check_output_apart(folder_ / "al", folder_ / "all" / source));
  }
  EXPECT_NO_THROW(check_output_holds_not(folder_ / "all" / "out", folder_ / "all"));
}

}  // namespace
}  // namespace retune
