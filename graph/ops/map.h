// Loops over elements on the thread pool.
#pragma once

#include "graph/ops/broadcast.h"
#include "graph/ops/kernel.h"

namespace retune {

// out[i] = f(x[i]) for `count` elements.
template <class T, class R, class F>
void map(ThreadPool& pool, std::int64_t count, const T* x, R* out, F f) {
  pool.parallel_for(count, kElementGrain, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) out[i] = f(x[i]);
  });
}

// out[i] = f(x[i], y[i]) for `count` elements.
template <class T, class R, class F>
void map(ThreadPool& pool, std::int64_t count, const T* x, const T* y, R* out, F f) {
  pool.parallel_for(count, kElementGrain, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) out[i] = f(x[i], y[i]);
  });
}

// out = f(a, b) with a and b broadcast to the shape of the plan. Three loops, since a repeated operand that sits in a
// register is what lets the compiler use vectors.
template <class A, class B, class R, class F>
void map_broadcast(ThreadPool& pool, const BroadcastPlan<2>& plan, const A* a, const B* b, R* out, F f) {
  pool.parallel_for(plan.numel, kElementGrain, [&](std::int64_t begin, std::int64_t end) {
    for_each_run<2>(plan, begin, end,
                    [&](std::int64_t at, std::int64_t count, const std::array<std::int64_t, 2>& offset) {
                      const A* x = a + offset[0];
                      const B* y = b + offset[1];
                      R* z = out + at;
                      if (plan.inner[0] == 0 && plan.inner[1] == 0) {
                        for (std::int64_t i = 0; i < count; ++i) z[i] = f(*x, *y);
                      } else if (plan.inner[1] == 0) {
                        const B right = *y;
                        for (std::int64_t i = 0; i < count; ++i) z[i] = f(x[i], right);
                      } else if (plan.inner[0] == 0) {
                        const A left = *x;
                        for (std::int64_t i = 0; i < count; ++i) z[i] = f(left, y[i]);
                      } else {
                        for (std::int64_t i = 0; i < count; ++i) z[i] = f(x[i], y[i]);
                      }
                    });
  });
}

// As map_broadcast with three operands and one loop (their steps are factors): for selections, which are rarely the hot
// spot.
template <class A, class B, class C, class R, class F>
void map_broadcast(ThreadPool& pool, const BroadcastPlan<3>& plan, const A* a, const B* b, const C* c, R* out, F f) {
  pool.parallel_for(plan.numel, kElementGrain, [&](std::int64_t begin, std::int64_t end) {
    for_each_run<3>(plan, begin, end,
                    [&](std::int64_t at, std::int64_t count, const std::array<std::int64_t, 3>& offset) {
                      const A* x = a + offset[0];
                      const B* y = b + offset[1];
                      const C* z = c + offset[2];
                      if (plan.inner == std::array<std::int64_t, 3>{1, 1, 1}) {
                        for (std::int64_t i = 0; i < count; ++i) out[at + i] = f(x[i], y[i], z[i]);
                      } else {
                        for (std::int64_t i = 0; i < count; ++i)
                          out[at + i] = f(x[i * plan.inner[0]], y[i * plan.inner[1]], z[i * plan.inner[2]]);
                      }
                    });
  });
}

}  // namespace retune
