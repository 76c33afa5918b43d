#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ctime>
#include <fstream>
#include <sstream>

#include "graph/confined.h"
#include "tensor/error.h"
#include "weights/external_data.h"

namespace retune {

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;  // its shadow memory is address space, and its checks take time
#else
constexpr bool kSanitized = false;
#endif
constexpr double kSeconds = kSanitized ? 40 : 5;
constexpr std::uint64_t kRoom = 1ull << 30;
constexpr const char* kWrong = "wrong: ";

double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

void limit_growth() {
  if (kSanitized) return;
  std::uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlim_t most = pages * static_cast<std::uint64_t>(sysconf(_SC_PAGE_SIZE)) + kRoom;
  const rlimit limit{most, most};
  setrlimit(RLIMIT_AS, &limit);
}

[[noreturn]] void work_and_exit(const std::function<void(const Say& say)>& work, int to) {
  limit_growth();
  restart_time();
  work([to](const std::string& line) {
    const std::string whole = printable(line, 4000) + '\n';
    if (write(to, whole.data(), whole.size()) < 0) _exit(1);
  });
  _exit(0);  // nothing of the parent's is to be torn down
}

}  // namespace

void restart_time() {
  const itimerval timer{{0, 0}, {static_cast<time_t>(kSeconds) * 3, 0}};
  setitimer(ITIMER_PROF, &timer, nullptr);
}

Ending run_confined(const std::function<void(const Say& say)>& work) {
  int ends[2];
  if (pipe(ends) != 0) throw failure("no pipe");
  const pid_t child = fork();
  if (child < 0) throw failure("no process");
  if (child == 0) work_and_exit(work, ends[1]);
  close(ends[1]);
  std::string all;
  char buffer[4096];
  for (ssize_t got = 0; (got = read(ends[0], buffer, sizeof buffer)) > 0;)
    all.append(buffer, static_cast<std::size_t>(got));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  Ending ending;
  if (WIFSIGNALED(status)) ending.signal = WTERMSIG(status);
  std::istringstream lines(all);
  for (std::string line; std::getline(lines, line);) ending.said.push_back(line);
  return ending;
}

std::string message_of_run(const std::function<void()>& f) {
  const double start = processor_seconds();
  std::string message = "no error";
  try {
    f();
  } catch (const Error& error) {
    message = error.what();
    if (message.find('\n') != std::string::npos) message = kWrong + ("several lines: " + message);
  } catch (const std::exception& error) {
    message = kWrong + fmt::format("no error of ours: {}", error.what());
  }
  const double took = processor_seconds() - start;
  return took <= kSeconds ? message : fmt::format("{}{:.1f} s for: {}", kWrong, took, message);
}

std::string confined_message(const std::function<void()>& f) {
  const Ending ending = run_confined([&f](const Say& say) { say(message_of_run(f)); });
  EXPECT_EQ(ending.signal, 0);
  const std::string message = ending.said.empty() ? "" : ending.said[0];
  EXPECT_FALSE(message.empty() || message.starts_with(kWrong)) << message;
  return message;
}

}  // namespace retune
