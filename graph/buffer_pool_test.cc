#include "graph/buffer_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <optional>

#include "tensor/error.h"

namespace retune {
namespace {

TEST(BufferPool, GivesTheSameMemoryAgainWhenTheLastHandleIsGone) {
  BufferPool pool;
  std::optional<Tensor> first = pool.allocate(DType::kF32, {100, 10});
  const std::byte* where = first->raw();
  Tensor view = first->rows(0, 2);
  first.reset();
  EXPECT_NE(pool.allocate(DType::kF32, {100, 10}).raw(), where) << "a view still reads it";
  view = Tensor();
  EXPECT_EQ(pool.live_bytes(), 0);
  // The two free buffers: one of them is the first.
  const Tensor a = pool.allocate(DType::kF32, {99, 10}), b = pool.allocate(DType::kF32, {99, 10});
  EXPECT_TRUE(a.raw() == where || b.raw() == where);
}

TEST(BufferPool, CountsWhatIsLiveAndTheMostThatEverWas) {
  BufferPool pool;
  {
    const Tensor a = pool.allocate(DType::kF64, {1000});
    const Tensor b = pool.allocate(DType::kF64, {1000});
    EXPECT_GE(pool.live_bytes(), 16000);
    EXPECT_LE(pool.live_bytes(), 20000) << "size classes waste at most a quarter";
  }
  EXPECT_EQ(pool.live_bytes(), 0);
  EXPECT_GE(pool.peak_bytes(), 16000);
}

TEST(BufferPool, HandlesOutliveThePool) {
  Tensor tensor;
  {
    BufferPool pool;
    tensor = pool.allocate(DType::kF32, {64});
    tensor.mutable_data<float>()[63] = 1.0f;
  }
  EXPECT_EQ(tensor.data<float>()[63], 1.0f);
}

TEST(BufferPool, AlignsForVectorInstructions) {
  BufferPool pool;
  for (const std::int64_t n : {0, 1, 3, 17, 1000})
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(pool.allocate(DType::kF32, {n}).raw()) % 64, 0U);
}

TEST(BufferPool, RefusesWhatNoMachineHolds) {
  BufferPool pool;
  for (const std::int64_t extent : {std::int64_t{1} << 40, std::int64_t{1} << 50, std::int64_t{1} << 62}) {
    try {
      pool.allocate(DType::kF32, {extent});
      ADD_FAILURE() << extent;
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    }
  }
  EXPECT_EQ(pool.live_bytes(), 0) << "what was refused is not counted";
}

// Each of a graph's tensors fitted the machine, all of them did not: the kernel granted them and killed the process.
TEST(BufferPool, CountsAllThatIsLiveAgainstItsLimit) {
  BufferPool pool(1 << 20);
  { const Tensor given_back = pool.allocate(DType::kU8, {600'000}); }
  const Tensor first = pool.allocate(DType::kU8, {700'000});  // of another size than what lies idle
  try {
    pool.allocate(DType::kU8, {400'000});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kFailure);
    EXPECT_NE(std::string(error.what()).find("out of memory"), std::string::npos);
  }
  EXPECT_NO_THROW(pool.allocate(DType::kU8, {200'000}));
}

}  // namespace
}  // namespace retune
