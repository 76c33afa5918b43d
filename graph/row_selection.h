// Computes only the rows that are read.
//
// A loss reads a few rows of the logits, so only these rows of the output layer, the last norm and the last MLP are
// needed: a Gather of rows moves up through operators that treat rows one by one. With a vocabulary of 150,000 the
// output layer is a quarter of a small model's work.
#pragma once

#include "graph/graph.h"

namespace retune {

// The same outputs, from a graph with concrete shapes. Moves Gather(x [N, D], i [M], axis 0), and Gather of a Reshape
// of x [.., D] to [N, D], above every operator that computes rows of x from the same rows of its operands, as long as i
// is a leaf, M <= N / 2 and nobody else reads the whole. Values that are outputs stay whole.
Graph select_rows(const Graph& graph);

}  // namespace retune
