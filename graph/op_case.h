// One operator case, four uses (tests only): forward against a naive reference, inferred against real shapes, the vjp
// against central differences in f64, equal bytes with 1, 2 and 4 threads.
//
//   check(OpCase{.op = "Softmax", .inputs = {random({2, 3, 5})}, .attributes = {{"axis", std::int64_t{1}}}, .reference
//   = naive});
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "graph/session.h"

namespace retune {

struct OpCase {
  std::string domain{};
  std::string op;
  int version = kEmittedOpset;
  std::vector<Tensor> inputs{};  // f64 for gradients; an undefined Tensor is an absent input
  std::vector<int> constants{};  // indices of inputs that are constants of the graph (shapes, axes, scalars)
  Attributes attributes{};
  int outputs = 1;
  // Plain loops that define the operator; empty if golden data does. Gets the inputs, gives the outputs.
  std::function<std::vector<Tensor>(const std::vector<Tensor>&)> reference{};
  std::vector<int> gradients{};  // inputs whose gradient is checked (float inputs that are not constants)
  double tolerance = 1e-12;  // of the forward in f64, relative to the largest magnitude; f32 is checked at 1e-5 besides
  double step = 1e-5;        // of the central differences
  double gradient_tolerance = 1e-6;
};

// Runs all uses through a Session and reports through GoogleTest's EXPECT macros, naming the operator.
void check(const OpCase& op_case);

// The message with which a Session refuses to run a graph, "no error" if it does run; reports an EXPECT failure if that
// is not one line or takes more than 20 seconds.
std::string refusal_of(Session& session, Graph graph, const Request& request);

// Deterministic test data in f64: uniform in [low, high).
Tensor random_f64(Shape shape, std::uint64_t seed, double low = -1.0, double high = 1.0);

}  // namespace retune
