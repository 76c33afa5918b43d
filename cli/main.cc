#include <google/protobuf/stubs/logging.h>
#include <unistd.h>

#include <csignal>
#include <iostream>
#include <string>
#include <vector>

#include "cli/interrupt.h"
#include "cli/program.h"
#include "weights/mapped_file.h"

int main(int argc, char** argv) {
  retune::install_sigbus_guard();
  retune::install_interrupt_handler();
  // A reader that leaves early makes a write fail, which is told like a full disk; files under way are still finished.
  std::signal(SIGPIPE, SIG_IGN);
  // Whatever protobuf objects to comes as one line of ours.
  google::protobuf::SetLogHandler(nullptr);
  std::ios::sync_with_stdio(false);
  const std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
  return retune::run_cli(words, {std::cout, std::cerr, isatty(STDERR_FILENO) == 1});
}
