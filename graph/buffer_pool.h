// Memory for activations that comes back: a Session runs the same shapes again and again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "tensor/tensor.h"

namespace retune {

// Whether this machine has as many bytes as the tensor needs.
bool fits_machine(DType dtype, const Shape& shape);

class BufferPool {
 public:
  // Holds no more than `limit` bytes at a time; by default what the machine has.
  explicit BufferPool(std::optional<std::size_t> limit = std::nullopt);
  // An uninitialised tensor whose memory returns to the pool when its last handle goes; handles may outlive the pool.
  // A failure if it is larger than the machine's memory, or all that is live with it than the limit.
  Tensor allocate(DType dtype, const Shape& shape);
  std::int64_t live_bytes() const;
  std::int64_t peak_bytes() const;
  // Gives free memory back to the system.
  void trim();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace retune
