// The valid case of an operator, bent until it breaks (tests only): absurd attributes, shapes and values, inputs
// missing and too many. Whatever a file may say, an answer or an error of one line is all that may come of it.
#pragma once

#include "graph/op_case.h"
#include "graph/session.h"

namespace retune {

// Runs the case forward and, where it has gradients, backward. Throws what the Session throws.
void run_case(Session& session, const OpCase& op_case);

// Runs `rounds` variations of the case, the same ones each time, forward and, where it has gradients, backward, in a
// process of its own (graph/confined.h). Reports a GoogleTest failure if one crashes, hangs, fills the memory or ends
// with anything but an answer or an Error. Private operators, which no file may hold, are left alone.
void attack(const OpCase& op_case, int rounds);

}  // namespace retune
