// Loops over elements on the thread pool.
#pragma once

#include <type_traits>

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

// out = f(a, b) with a and b broadcast to the shape of the plan. Floats have three loops, since a repeated operand that
// sits in a register is what lets the compiler use vectors; other types have one, in which the steps are factors.
template <class A, class B, class R, class F>
void map_broadcast(ThreadPool& pool, const BroadcastPlan<2>& plan, const A* a, const B* b, R* out, F f) {
  const auto [step_a, step_b] = plan.inner;
  const auto run = [=](const A* x, const B* y, R* z, std::int64_t count) {
    if constexpr (std::is_floating_point_v<A>) {
      if (step_a == 1 && step_b == 1) {
        for (std::int64_t i = 0; i < count; ++i) z[i] = f(x[i], y[i]);
        return;
      }
      if (step_a == 1) {
        const B right = *y;
        for (std::int64_t i = 0; i < count; ++i) z[i] = f(x[i], right);
        return;
      }
      if (step_b == 1) {
        const A left = *x;
        for (std::int64_t i = 0; i < count; ++i) z[i] = f(left, y[i]);
        return;
      }
    }
    for (std::int64_t i = 0; i < count; ++i) z[i] = f(x[i * step_a], y[i * step_b]);
  };
  pool.parallel_for(plan.numel, kElementGrain, [&](std::int64_t begin, std::int64_t end) {
    for_each_run<2>(plan, begin, end, [&](std::int64_t at, std::int64_t count, const auto& offset) {
      run(a + offset[0], b + offset[1], out + at, count);
    });
  });
}

// As map_broadcast with three operands, for selections.
template <class A, class B, class C, class R, class F>
void map_broadcast(ThreadPool& pool, const BroadcastPlan<3>& plan, const A* a, const B* b, const C* c, R* out, F f) {
  const auto [step_a, step_b, step_c] = plan.inner;
  const auto run = [=](const A* x, const B* y, const C* z, R* to, std::int64_t count) {
    if (step_a == 1 && step_b == 1 && step_c == 1) {
      for (std::int64_t i = 0; i < count; ++i) to[i] = f(x[i], y[i], z[i]);
    } else {
      for (std::int64_t i = 0; i < count; ++i) to[i] = f(x[i * step_a], y[i * step_b], z[i * step_c]);
    }
  };
  pool.parallel_for(plan.numel, kElementGrain, [&](std::int64_t begin, std::int64_t end) {
    for_each_run<3>(plan, begin, end, [&](std::int64_t at, std::int64_t count, const auto& offset) {
      run(a + offset[0], b + offset[1], c + offset[2], out + at, count);
    });
  });
}

}  // namespace retune
