// Oracles: programs of others that a test asks for a second opinion, such as ONNX Runtime, h5py or espeak-ng.
//
// Where one is not installed, its tests are skipped, unless RETUNE_REQUIRE_ORACLES is set and not empty: then they
// fail.
// ./dev test installs every oracle and sets it, so that it cannot be green on a comparison that was never made.
//
//   if (const std::string reason = h5py_is_missing(); !reason.empty()) RETUNE_ORACLE_MISSING(reason);
//
// Includes nothing of ours: the rooms' own tests include it too (cmake/rooms.txt).
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace retune {

// NOLINTBEGIN(concurrency-mt-unsafe): asked by a test before it starts a thread
inline bool oracles_are_required() {
  const char* value = std::getenv("RETUNE_REQUIRE_ORACLES");
  return value != nullptr && *value != '\0';
}

// Empty if Debian's interpreter has it.
inline std::string h5py_is_missing() {
  const bool found = std::system("/usr/bin/python3 -c 'import h5py' >/dev/null 2>&1") == 0;
  return found ? "" : "python3-h5py is not installed; see ./dev setup test";
}
// NOLINTEND(concurrency-mt-unsafe)

}  // namespace retune

// Ends the test, or the SetUp() of its fixture, as skipped or failed. A macro because it returns.
#define RETUNE_ORACLE_MISSING(reason)                         \
  do {                                                        \
    if (::retune::oracles_are_required()) FAIL() << (reason); \
    GTEST_SKIP() << (reason);                                 \
  } while (false)
