// Linear layers by a pattern of their names: "decoder.block.*.attn.q" is the query projection of every block of the
// decoder, "encoder.block.*.mlp" both matrices of every MLP of the encoder. A '*' stands for one part of a name; a
// pattern without one is a part or a site as Bundle::sites_in knows them, the block also as 'last' or a share of the
// depth.
#pragma once

#include <string>
#include <vector>

#include "lalm/bundle.h"

namespace retune {

// In the order of the sites, each once. User error for a pattern that no linear layer has.
std::vector<Site> linear_sites(const Bundle& bundle, const std::vector<std::string>& patterns);

}  // namespace retune
