// What a work of the benchmark measured, and the line of JSON in which a contender says so to bench/run:
//
//   {"peer": "Retune", "threads": 2, "unit": "s", "values": [...], "beside": {"the first time": [...]},
//    "facts": {"operations": ...}, "profile": {"MatMul": ...}}
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "graph/session.h"

namespace retune::bench {

struct Measurement {
  std::string unit = "s";                               // or "GiB"
  std::vector<double> values{};                         // one a run
  std::map<std::string, std::vector<double>> beside{};  // what it is compared with, measured by the same process
  std::map<std::string, double> facts{};                // numbers that the driver needs, or that a reader wants to know
  std::map<std::string, double> profile{};              // seconds of a run by operator; only with Sizes::profile
};

// One line, no line break.
std::string to_json(const Measurement& measurement, int threads);

class Stopwatch {
 public:
  Stopwatch() : start_(Clock::now()) {}
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_;
};

struct Repeats {
  int warm_up = 2;  // runs that are not counted
  int runs = 5;
  bool profile = false;
};

// Times `step`, over and over; the profile is the session's.
Measurement timed(Session& session, const Repeats& repeats, const std::function<void()>& step);

// Seconds a run that the session's operators took since its counters were reset.
std::map<std::string, double> profile_of(const Session& session, int runs);

}  // namespace retune::bench
