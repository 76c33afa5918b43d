// In-context editing: no weight changes; the patch holds a system message that lists the edits, and demonstrations
// (methods.md 2.4 and 5.14; Zheng et al. 2023, arXiv 2305.12740, as SAKE, arXiv 2510.16917, puts it to models that
// hear).
//
//   f(x) := f_theta0(system(edits) + demonstrations + x)
//
// I-IKE has the message alone. IE-IKE adds, for each edit, the turns of the first training instance in the corpus with
// exactly its old and new label; an edit without one is told by the message alone, and the note
// "without_demonstrations" counts it.
#pragma once

#include "editors/registry.h"

namespace retune {

// "i-ike" and "ie-ike". One patch for any number of requests, stacks on itself; no deltas. User error for a request
// without an old label.
EditingMethod i_ike_method();
EditingMethod ie_ike_method();

}  // namespace retune
