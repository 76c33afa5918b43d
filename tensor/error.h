// The one error type. Foreign errors (HDF5, protobuf, JSON, LAPACK) are translated in the room that calls them.
//
// A message is one line: what, where (file, tensor, node, line), what was expected, what to do. Example:
//
//   throw user_error("shape mismatch: tensor '{}' in {}: expected {}, got {}; see retune inspect", name, file, want,
//   got);
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace retune {

// The values are the exit codes of the command line.
enum class ErrorCode {
  kFailure = 1,      // disk, memory, a numeric failure
  kUser = 2,         // anything wrong in what the user supplied
  kInterrupted = 3,  // interrupted or out of time; running again resumes
  kProof = 4,        // a proof, a requirement or a conformance check failed
};

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

template <class... Args>
Error user_error(fmt::format_string<Args...> format, Args&&... args) {
  return Error(ErrorCode::kUser, fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
Error failure(fmt::format_string<Args...> format, Args&&... args) {
  return Error(ErrorCode::kFailure, fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
Error proof_error(fmt::format_string<Args...> format, Args&&... args) {
  return Error(ErrorCode::kProof, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace retune
