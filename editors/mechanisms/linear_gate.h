// Which side of a plane a state lies on: a logistic regression that decides whether an edit is meant (methods.md 5.17).
//
//   min over (w, b):  1/2 mean_inside log(1 + e^-f) + 1/2 mean_outside log(1 + e^f) + ridge/2 (|w|^2 + b^2),
//   f = w . (h - mean) / scale + b,   mean over all states, scale^2 = mean |h - mean|^2
//
// Both classes weigh the same however many there are of each. Solved by Newton's method in as many unknowns as there
// are states, in f64, whatever the width; the same states give the same bits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace retune {

struct LinearGate {
  std::vector<double> weight;  // [width], of the state itself: mean and scale are folded in
  double bias = 0;

  double score(std::span<const double> state) const;  // weight . state + bias; above 0 the edit is meant
};

// User errors: a class without states, a ridge that is not above 0. Failure: states that are not finite.
LinearGate train_gate(std::span<const std::vector<double>> inside, std::span<const std::vector<double>> outside,
                      double ridge);

}  // namespace retune
