// What a loop tells about itself. Libraries print nothing: whoever starts a loop may watch it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace retune {

struct StepReport {
  std::string stage;       // "fine-tuning", "target vector", "second moment"
  std::int64_t step = 0;   // done so far, from 1
  std::int64_t steps = 0;  // at most
  double loss = 0;         // nats; 0 where there is none
};

using StepObserver = std::function<void(const StepReport&)>;  // may be empty

}  // namespace retune
