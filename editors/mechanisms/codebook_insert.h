// A codebook as nodes of the model: in the first call of a prompt the input of a site at the call's last row is
// compared with every key; where it lies within the nearest key's reach, the site's output is replaced by that entry's
// value (methods.md 5.16). Everywhere else, and in every later call, the output keeps its bits.
#pragma once

#include <string>

#include "adapters/graph_insert.h"
#include "editors/mechanisms/codebook.h"
#include "lalm/bundle.h"
#include "lalm/site.h"

namespace retune {

// Of the rows of the first call.
enum class ReplacedRows {
  kLast,    // the last one
  kAll,     // all of them
  kPrompt,  // all but the last one
};

// By how much a key's reach exceeds its radius, in lengths of the key: another runtime rounds otherwise, and a query
// that an entry has just been grown to lies on its edge. 1e-5 where the site computes in f32, 2^-9 in f16, 2^-6 in
// bf16.
double reach_slack(const Bundle& bundle, const Site& site);

// `codebook` has entries, all with values. Tensors of (in + out + 1) floats an entry.
GraphInsert codebook_insert(const Bundle& bundle, const std::string& name, const Site& site, const Codebook& codebook,
                            ReplacedRows rows);

}  // namespace retune
