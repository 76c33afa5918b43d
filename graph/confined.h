// Runs what may crash, hang or fill the memory in a process of its own (tests only).
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace retune {

using Say = std::function<void(const std::string& line)>;

struct Ending {
  std::vector<std::string> said;
  int signal = 0;  // that ended the process; 0 if `work` returned
};

// `work` may take a GiB beyond what the process has, and some seconds of processor time (how busy the machine is does
// not count); a sanitizer gets more time, and no bound on its memory. It runs without the threads of this process.
Ending run_confined(const std::function<void(const Say& say)>& work);

// Inside `work`: its time begins anew.
void restart_time();

// How running f ends: the Error's message, "no error", or what is wrong otherwise: another exception, a message of
// several lines, more than five seconds of processor time (it should be one).
std::string message_of_run(const std::function<void()>& f);

// message_of_run of f in a process of its own. Reports a GoogleTest failure if something is wrong.
std::string confined_message(const std::function<void()>& f);

}  // namespace retune
