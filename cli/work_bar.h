// A progress bar for commands that tell in parts how far they are, and within a part by the nodes of a Session's run.
//
//   Session session(session_options(arguments));
//   WorkBar bar(console, "check");
//   bar.follow(session);
//   check_bundle(session, bundle, bar.parts("check"));
#pragma once

#include <cstdint>
#include <string>

#include "cli/progress.h"
#include "graph/session.h"

namespace retune {

class WorkBar {
 public:
  WorkBar(Console& console, const std::string& label, Clock clock = steady_seconds);
  // Takes the line away, and no longer follows the session.
  ~WorkBar();
  WorkBar(const WorkBar&) = delete;
  WorkBar& operator=(const WorkBar&) = delete;

  // The session outlives the bar.
  void follow(Session& session);
  // Until parts are told, each of so many runs is one.
  void expect_runs(std::int64_t runs);
  // For the `observer` of work called `label`; must not outlive the bar. A new label begins anew.
  WorkObserver parts(const std::string& label);

 private:
  void begin(const std::string& label);
  void show();

  ProgressBar bar_;
  Session* session_ = nullptr;
  bool runs_are_parts_ = true;
  std::int64_t done_ = 0;
  std::int64_t total_ = 1;
  double within_ = 0;  // of the part at hand, in [0, 1]
  double shown_ = 0;   // share; it never falls, though a part may take more runs than one
};

}  // namespace retune
