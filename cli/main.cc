#include <fcntl.h>
#include <google/protobuf/stubs/logging.h>
#include <unistd.h>

#include <csignal>
#include <iostream>
#include <string>
#include <vector>

#include "cli/interrupt.h"
#include "cli/program.h"
#include "weights/mapped_file.h"

// A standard stream that was closed at the start would be the next file that is opened: messages would be written into
// a model.
static void open_standard_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (fcntl(stream, F_GETFD) < 0 && open("/dev/null", stream == STDIN_FILENO ? O_RDONLY : O_WRONLY) != stream)
      _exit(1);
}

int main(int argc, char** argv) {
  open_standard_streams();
  retune::install_sigbus_guard();
  retune::install_interrupt_handler();
  // A reader that leaves early makes a write fail, which is told like a full disk; files under way are still finished.
  std::signal(SIGPIPE, SIG_IGN);
  // So does a limit on the size of files.
  std::signal(SIGXFSZ, SIG_IGN);
  // Whatever protobuf objects to comes as one line of ours.
  google::protobuf::SetLogHandler(nullptr);
  std::ios::sync_with_stdio(false);
  const std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
  return retune::run_cli(words, {std::cout, std::cerr, isatty(STDERR_FILENO) == 1});
}
