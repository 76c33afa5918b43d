#include "tensor/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace retune {
namespace {

using Cut = std::set<std::pair<std::int64_t, std::int64_t>>;

Cut cut_of(ThreadPool& pool, std::int64_t count, std::int64_t grain) {
  std::mutex mutex;
  Cut cut;
  pool.parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end) {
    const std::lock_guard lock(mutex);
    EXPECT_TRUE(cut.emplace(begin, end).second);
  });
  return cut;
}

TEST(ThreadPool, CutsTheSameWithAnyNumberOfThreads) {
  ThreadPool one(1), two(2), many(5);
  for (const auto& [count, grain] :
       std::vector<std::pair<std::int64_t, std::int64_t>>{{100, 7}, {7, 7}, {8, 7}, {3, 10}, {5, 0}}) {
    const Cut expected = cut_of(one, count, grain);
    EXPECT_EQ(cut_of(two, count, grain), expected);
    EXPECT_EQ(cut_of(many, count, grain), expected);
  }
  EXPECT_EQ(cut_of(two, 8, 7), (Cut{{0, 7}, {7, 8}}));
}

TEST(ThreadPool, RunsEveryIndexOnceInManyRounds) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> hits(1000);
  for (int round = 0; round < 200; ++round)
    pool.parallel_for(1000, 3, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) ++hits[static_cast<std::size_t>(i)];
    });
  for (const std::atomic<int>& hit : hits) EXPECT_EQ(hit, 200);
}

TEST(ThreadPool, ABodysExceptionReachesTheCallerAndThePoolGoesOn) {
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    EXPECT_THROW(pool.parallel_for(100, 1,
                                   [](std::int64_t begin, std::int64_t) {
                                     if (begin == 40) throw std::runtime_error("forty");
                                   }),
                 std::runtime_error);
    EXPECT_EQ(cut_of(pool, 10, 1).size(), 10u);
  }
}

// Of several clips that could not be read, now one and now another was named.
TEST(ThreadPool, TheFirstChunkThatFailsIsToldWhoeverFailsFirst) {
  for (const int threads : {1, 2, 4}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 20; ++round) {
      std::string told;
      try {
        pool.parallel_for(100, 1, [](std::int64_t begin, std::int64_t) {
          if (begin < 2) std::this_thread::sleep_for(std::chrono::milliseconds(begin == 1 ? 2 : 0));
          if (begin > 0) throw std::runtime_error(std::to_string(begin));
        });
      } catch (const std::runtime_error& error) {
        told = error.what();
      }
      EXPECT_EQ(told, "1") << threads;
    }
  }
}

TEST(ThreadPool, ALoopInsideABodyRunsOnItsOwnThread) {
  ThreadPool pool(4);
  std::atomic<int> inner = 0, elsewhere = 0;
  pool.parallel_for(8, 1, [&](std::int64_t, std::int64_t) {
    const std::thread::id mine = std::this_thread::get_id();
    pool.parallel_for(5, 1, [&](std::int64_t, std::int64_t) {
      ++inner;
      if (std::this_thread::get_id() != mine) ++elsewhere;
    });
  });
  EXPECT_EQ(inner, 40);
  EXPECT_EQ(elsewhere, 0);
}

TEST(ThreadPool, SeveralCallersTakeTurns) {
  ThreadPool pool(3);
  std::atomic<std::int64_t> sum = 0;
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller)
    callers.emplace_back([&] {
      for (int round = 0; round < 50; ++round)
        pool.parallel_for(100, 9, [&](std::int64_t begin, std::int64_t end) { sum += end - begin; });
    });
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(sum, 4 * 50 * 100);
}

TEST(ThreadPool, CountsTheCallerAndDoesNothingForNothing) {
  EXPECT_EQ(ThreadPool(3).threads(), 3);
  EXPECT_GE(ThreadPool().threads(), 1);
  ThreadPool pool(2);
  pool.parallel_for(0, 1, [](std::int64_t, std::int64_t) { FAIL(); });
  pool.parallel_for(-5, 1, [](std::int64_t, std::int64_t) { FAIL(); });
}

}  // namespace
}  // namespace retune
