// LoRA: a low-rank adapter beside linear layers learns the answer, the weights stay (methods.md 5.5; Hu et al. 2021,
// arXiv 2106.09685). The training is learning/low_rank_tuning.h; what the adapter is between edits,
// mechanisms/adapter_memory.h.
#pragma once

#include "editors/registry.h"

namespace retune {

// "lora". One patch for any number of requests; low-rank deltas, or inserts beside the weights.
EditingMethod lora_method();

}  // namespace retune
