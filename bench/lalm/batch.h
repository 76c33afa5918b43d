// What the works on a batch of prompts run.
#pragma once

#include <memory>

#include "bench/lalm/prompts.h"

namespace retune::bench {

struct BatchWork {
  std::shared_ptr<const Graph> graph;
  Request request;
};

// Logits of every row.
BatchWork forward_work(Session& session, const Bundle& bundle, const Sizes& sizes);
// Gradients of the loss on the last rows with respect to all weights that the prompts reach.
BatchWork gradient_work(Session& session, const Bundle& bundle, const Sizes& sizes);

}  // namespace retune::bench
