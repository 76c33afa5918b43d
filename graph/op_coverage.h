// Which operators the tests of this program show, and which they do not (tests only).
//
// What checks an operator says so with note(); it counts if the test passes. When a program has run all of its tests,
// every operator of the registry must have been checked: its forward against a reference that shares no code with it,
// and its gradient, if it has one, against central differences. Whatever is missing fails the program.
#pragma once

#include "graph/op.h"

namespace retune {

enum class Checked {
  kForward,   // against a plain reference, or golden data
  kGradient,  // against central differences
  kInUse,     // by the result of a gradient that it is part of
};

// The running test checks this of the operator.
void note(const Op& op, Checked what);

// The same for every node of a graph and of its subgraphs.
void note(const Graph& graph, Checked what);

}  // namespace retune
