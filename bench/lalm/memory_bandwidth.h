// How fast this machine reads memory that no cache holds: the limit of everything that reads each weight once.
#pragma once

#include <vector>

#include "tensor/thread_pool.h"

namespace retune::bench {

// Bytes a second of `passes` passes of the pool's threads over one gibibyte.
std::vector<double> read_bandwidth(ThreadPool& pool, int passes);

}  // namespace retune::bench
