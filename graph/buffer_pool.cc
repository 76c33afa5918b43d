#include "graph/buffer_pool.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <map>
#include <mutex>
#include <vector>

#include "tensor/error.h"

namespace retune {

namespace {

constexpr std::size_t kAlignment = 64;

// Sizes are rounded up to four steps an octave, so that nearly equal shapes share buffers.
std::size_t size_class(std::size_t bytes) {
  const std::size_t step = std::max<std::size_t>(std::bit_floor(std::max<std::size_t>(bytes, 256)) / 4, kAlignment);
  return (bytes + step - 1) / step * step;
}

// A request for more than the machine has must fail here: an overcommitting kernel grants it and kills the process
// later.
std::size_t machine_bytes() {
  static const std::size_t bytes =
      static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::size_t>(sysconf(_SC_PAGE_SIZE));
  return bytes;
}

}  // namespace

bool fits_machine(DType dtype, const Shape& shape) {
  const std::optional<std::size_t> bytes = storage_bytes(dtype, shape.numel());
  return bytes && *bytes <= machine_bytes();
}

struct BufferPool::State {
  explicit State(std::size_t most) : limit(most) {}

  const std::size_t limit;
  std::mutex mutex;
  std::map<std::size_t, std::vector<std::byte*>> free;
  std::size_t idle = 0;  // bytes in `free`
  std::int64_t live = 0;
  std::int64_t peak = 0;

  ~State() { release(); }
  void release() {
    for (auto& [size, buffers] : free)
      for (std::byte* buffer : buffers) std::free(buffer);
    free.clear();
    idle = 0;
  }
  void make_room(std::size_t size) {
    const std::size_t held = static_cast<std::size_t>(live) + size;
    if (held + idle > limit) release();
    if (held > limit)
      throw failure("out of memory: {} bytes at a time, and there are {}; lower --memory or use shorter inputs", held,
                    limit);
  }
};

BufferPool::BufferPool(std::optional<std::size_t> limit)
    : state_(std::make_shared<State>(limit.value_or(machine_bytes()))) {}

Tensor BufferPool::allocate(DType dtype, const Shape& shape) {
  if (!fits_machine(dtype, shape))
    throw failure("a tensor of shape {} is larger than this machine's memory; use shorter inputs", shape.text());
  const std::size_t bytes = storage_bytes(dtype, shape.numel()).value_or(0);
  const std::size_t size = size_class(std::max<std::size_t>(bytes, 1));
  std::byte* buffer = nullptr;
  {
    const std::lock_guard lock(state_->mutex);
    auto& buffers = state_->free[size];
    if (!buffers.empty()) {
      buffer = buffers.back();
      buffers.pop_back();
      state_->idle -= size;
    } else {
      state_->make_room(size);
    }
  }
  if (buffer == nullptr)
    buffer = static_cast<std::byte*>(std::aligned_alloc(kAlignment, (size + kAlignment - 1) / kAlignment * kAlignment));
  if (buffer == nullptr)
    throw failure("out of memory: {} bytes for one tensor; lower --memory or use shorter inputs", bytes);
  {
    const std::lock_guard lock(state_->mutex);
    state_->live += static_cast<std::int64_t>(size);
    state_->peak = std::max(state_->peak, state_->live);
  }
  const auto give_back = [state = state_, size](std::byte* memory) {
    const std::lock_guard lock(state->mutex);
    state->free[size].push_back(memory);
    state->idle += size;
    state->live -= static_cast<std::int64_t>(size);
  };
  return Tensor::adopt(dtype, shape, std::shared_ptr<std::byte>(buffer, give_back));
}

std::int64_t BufferPool::live_bytes() const {
  const std::lock_guard lock(state_->mutex);
  return state_->live;
}

std::int64_t BufferPool::peak_bytes() const {
  const std::lock_guard lock(state_->mutex);
  return state_->peak;
}

void BufferPool::trim() {
  const std::lock_guard lock(state_->mutex);
  state_->release();
}

}  // namespace retune
