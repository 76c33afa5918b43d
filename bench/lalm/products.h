// The matrix products of a plan: how many operations they are, and each as a graph of its own, so that they can be run
// alone. The sum of operations over the sum of times is the rate that a whole pass is measured against.
#pragma once

#include <memory>
#include <vector>

#include "graph/graph.h"
#include "graph/plan.h"

namespace retune::bench {

// One product with its operands as inputs, or as parameters where they are weights; one output, "product".
struct PlannedProduct {
  std::shared_ptr<const Graph> graph;
  double operations = 0;  // a multiplication and an addition count as two
};

struct PlannedProducts {
  std::vector<PlannedProduct> products;  // in the plan's order
  // Of the products, and of those that fused operators hold within (attention), which are not run alone.
  double operations = 0;
};

// Throws a user error for an operator that reads a weight matrix and is none that it knows: the count would be wrong.
PlannedProducts products_of(const Plan& plan);

}  // namespace retune::bench
