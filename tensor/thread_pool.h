// The one thread pool. Work is cut by its size, never by the number of threads, so that results have the same bits with
// any number.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace retune {

class ThreadPool {
 public:
  // threads >= 1, the calling thread included; 0 means one per processor this process may use.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;

  // Calls body(begin, end) for the chunks [0, grain), [grain, 2*grain), ... of [0, count), on any thread and in any
  // order, and returns when all are done. The cut depends on count and grain only. Of the
  // exceptions of bodies, that of the first chunk reaches the caller, with any number of threads; later chunks may then
  // be left out. Not reentrant: a body that calls parallel_for runs that inner loop on its own thread.
  void parallel_for(std::int64_t count, std::int64_t grain,
                    const std::function<void(std::int64_t begin, std::int64_t end)>& body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace retune
