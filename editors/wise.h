// WISE: a second weight beside one MLP's down-projection, and a rule that decides by activations which of them answers
// (methods.md 5.15; Wang et al. 2024, arXiv 2405.14768). The model's own weight does not move.
//
// An edit trains the open slot of the site's side memory within its mask: on the request and its contexts to give the
// new answer and to move far from the model's own activations, on prompts of the corpus that are none of its business
// to stay near (editors/mechanisms/side_training.h). Every `save_every` edits the slot is closed and another begins
// with a mask of its own; every `merge_every` the closed ones become one by TIES. The side memory so far is that of the
// patches beneath: each patch remembers the slots that it changed and brings the whole memory with its routing as an
// insert of the graph (editors/mechanisms/side_routing.h).
#pragma once

#include "editors/registry.h"

namespace retune {

// "wise". A batch makes one request after another. Notes: "loss" and "updates" of all requests in order; "distance",
// one a request: the mean distance of its contexts at the end, of which its threshold is the share act_ratio; "slots".
EditingMethod wise_method();

}  // namespace retune
