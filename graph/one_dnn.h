// How Retune uses oneDNN: on one thread, inside tasks of the thread pool.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

// Of OpenMP, whose header is in the private folder of each compiler.
extern "C" int omp_get_max_threads();
extern "C" void omp_set_num_threads(int);

namespace retune {

// oneDNN takes the number of its threads from OpenMP's setting for the calling thread, when a primitive is made and
// when it is executed.
class OneOpenMpThread {
 public:
  OneOpenMpThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneOpenMpThread() { omp_set_num_threads(before_); }
  OneOpenMpThread(const OneOpenMpThread&) = delete;
  OneOpenMpThread& operator=(const OneOpenMpThread&) = delete;

 private:
  int before_;
};

inline const dnnl::engine& one_dnn_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

}  // namespace retune
