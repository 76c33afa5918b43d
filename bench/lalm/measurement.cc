#include "bench/lalm/measurement.h"

#include <nlohmann/json.hpp>

namespace retune::bench {

std::string to_json(const Measurement& measurement, int threads) {
  nlohmann::json line = {{"peer", "Retune"},
                         {"threads", threads},
                         {"unit", measurement.unit},
                         {"values", measurement.values},
                         {"beside", measurement.beside},
                         {"facts", measurement.facts}};
  if (!measurement.profile.empty()) line["profile"] = measurement.profile;
  return line.dump();
}

std::map<std::string, double> profile_of(const Session& session, int runs) {
  std::map<std::string, double> profile = session.counters().seconds_by_op;
  for (auto& [op, seconds] : profile) seconds /= runs;
  return profile;
}

Measurement timed(Session& session, const Repeats& repeats, const std::function<void()>& step) {
  for (int i = 0; i < repeats.warm_up; ++i) step();
  session.reset_counters();
  session.profile(repeats.profile);
  Measurement result;
  for (int i = 0; i < repeats.runs; ++i) {
    const Stopwatch watch;
    step();
    result.values.push_back(watch.seconds());
  }
  if (repeats.profile) result.profile = profile_of(session, repeats.runs);
  session.profile(false);
  return result;
}

}  // namespace retune::bench
