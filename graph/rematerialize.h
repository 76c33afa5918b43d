// Trades time for memory: what the backward pass reads of the forward pass is computed again instead of kept, so that a
// gradient fits a budget (Chen et al. 2016, arXiv 1604.06174).
//
// The forward nodes are cut into segments where little is alive (a transformer's residual stream). Kept are the values
// that cross a cut, and the last segment; of the others a copy of the segment is run, right before the first node of
// the backward pass that reads of it. Copies have the bits of their originals, so no result changes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "graph/graph.h"

namespace retune {

// The most bytes of computed values that are alive at a time when the nodes of a specialised graph run in order and
// every value goes with its last reader. A reshaped value is its source's memory; the graph's outputs stay.
std::int64_t peak_bytes(const Graph& graph);

// `graph` with its first `forward` nodes cut into as few segments as bring peak_bytes within `budget`; `graph` itself
// where it is within already; the least that cutting can do where nothing is. Outputs keep their order.
Graph rematerialize(Graph graph, std::size_t forward, std::int64_t budget);

}  // namespace retune
