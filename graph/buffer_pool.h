// Memory for activations that comes back: a Session runs the same shapes again and again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "tensor/tensor.h"

namespace retune {

class BufferPool {
 public:
  BufferPool();
  // An uninitialised tensor whose memory returns to the pool when its last handle goes; handles may outlive the pool.
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
