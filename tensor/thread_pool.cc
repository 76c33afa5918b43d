#include "tensor/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace retune {

namespace {

// What a thread is in the middle of is its own.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
thread_local bool inside_a_body = false;

int available_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

// One parallel_for. Chunks are claimed by an atomic counter; who runs which does not matter to the result.
struct Job {
  std::int64_t count = 0;
  std::int64_t grain = 1;
  const std::function<void(std::int64_t, std::int64_t)>* body = nullptr;
  std::atomic<std::int64_t> next{0};
  std::mutex mutex;
  std::exception_ptr error;
  std::int64_t failed = 0;  // where the chunk of `error` begins

  void work() {
    inside_a_body = true;
    for (std::int64_t begin = next.fetch_add(grain); begin < count; begin = next.fetch_add(grain)) {
      try {
        (*body)(begin, std::min(begin + grain, count));
      } catch (...) {
        const std::lock_guard lock(mutex);
        // Chunks before this one were claimed before it, so all of them are done: the first that fails is always told.
        if (!error || begin < failed) {
          error = std::current_exception();
          failed = begin;
        }
        next = count;
      }
    }
    inside_a_body = false;
  }
};

// How long a worker looks for new work before it sleeps: kernels follow each other within microseconds.
constexpr int kSpins = 4000;

}  // namespace

struct ThreadPool::State {
  std::vector<std::thread> workers;
  std::mutex mutex;
  std::condition_variable wake;
  std::mutex caller;  // one parallel_for at a time
  Job* job = nullptr;
  std::atomic<std::uint64_t> generation{0};
  std::atomic<int> active{0};
  bool stopping = false;

  void run() {
    std::uint64_t seen = 0;
    while (true) {
      for (int spin = 0; spin < kSpins && generation.load(std::memory_order_acquire) == seen; ++spin)
        __builtin_ia32_pause();
      Job* mine = nullptr;
      {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return stopping || generation.load() != seen; });
        if (stopping) return;
        seen = generation.load();
        mine = job;
        if (mine == nullptr) continue;
        ++active;
      }
      mine->work();
      active.fetch_sub(1, std::memory_order_release);
    }
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  const int total = threads > 0 ? threads : available_processors();
  for (int i = 1; i < total; ++i) state_->workers.emplace_back([state = state_.get()] { state->run(); });
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->wake.notify_all();
  for (std::thread& worker : state_->workers) worker.join();
}

int ThreadPool::threads() const { return static_cast<int>(state_->workers.size()) + 1; }

void ThreadPool::parallel_for(std::int64_t count, std::int64_t grain,
                              const std::function<void(std::int64_t, std::int64_t)>& body) {
  if (count <= 0) return;
  grain = std::max<std::int64_t>(grain, 1);
  if (inside_a_body || state_->workers.empty() || count <= grain) {
    for (std::int64_t begin = 0; begin < count; begin += grain) body(begin, std::min(begin + grain, count));
    return;
  }
  const std::lock_guard one_caller(state_->caller);
  Job job;
  job.count = count;
  job.grain = grain;
  job.body = &body;
  {
    const std::lock_guard lock(state_->mutex);
    state_->job = &job;
    state_->generation.fetch_add(1, std::memory_order_release);
  }
  state_->wake.notify_all();
  job.work();
  {
    // No worker may still join this job: it lives on this stack.
    const std::lock_guard lock(state_->mutex);
    state_->job = nullptr;
  }
  while (state_->active.load(std::memory_order_acquire) != 0) std::this_thread::yield();
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace retune
