// Several prompts as the rows of one batch, padded on the right: one product of a weight's gradient serves all of them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "graph/session.h"

namespace retune {

using Inputs = std::map<std::string, Feed, std::less<>>;

// Each prompt's inputs have a leading extent of 1. Tensors of two axes or more are stacked along the first and filled
// up with zeros along the second: ids, positions, the mask (which so says what is padding), rows of hidden states, an
// empty cache. Others must be the same for all and are taken from the first. All have the same names; versions are
// fresh.
Inputs padded_batch(Session& session, const std::vector<const Inputs*>& prompts);

// Indices of prompts of so many rows in batches: those of like length together, so that no prompt is padded to more
// than twice its rows, and no batch has more than `most_rows`, padding included (a longer prompt is one of its own).
std::vector<std::vector<std::size_t>> batches_of(const std::vector<std::int64_t>& rows, std::int64_t most_rows);

}  // namespace retune
