// The works of the benchmark: each a whole job as a user of Retune would have it done, through the same calls.
#pragma once

#include <map>
#include <string>

#include "bench/lalm/measurement.h"
#include "bench/lalm/prompts.h"

namespace retune::bench {

using Work = Measurement (*)(const Contender&);

// batch.cc: the linked graph on a batch of prompts, logits or gradients of all weights.
Measurement forward(const Contender& contender);
Measurement forward_backward(const Contender& contender);
Measurement train_step(const Contender& contender);  // and Adam on all weights
// products.h: the matrix products of `of` alone. Facts: "product operations" (theirs), "operations" (all of the
// work's).
Measurement products(const Contender& contender);

// editing.cc
// `steps` on one block's MLP, a text prompt of `positions` rows, loss on its last four.
Measurement fine_tuning(const Contender& contender);
// `steps` on a vector added to the down-projection's output of one block at the last prompt token, of batch - 1 views
// and the prompt whose answer is to stay; `positions` rows each, with sound if clips > 0.
Measurement target_vector(const Contender& contender);
// ROME of a fact of `facts`, whole. Facts: "positions", the length of the first prompt.
Measurement rome_edit(const Contender& contender);
// The same once; GiB resident at its peak, mapped weights included. Beside: without them. Facts: "seconds".
Measurement edit_memory(const Contender& contender);

// asking.cc
// Options of `questions` prompts, one each, of a model whose `block` was edited. Beside: "the first time".
Measurement score_after_edit(const Contender& contender);
// `questions` with four options each on one clip of `frames`. Beside: "each whole prompt by itself".
Measurement options_on_clip(const Contender& contender);
// Greedy decoding, seconds a token. Beside: "the memory-bandwidth limit".
Measurement decode(const Contender& contender);

// files.cc
Measurement open_model(const Contender& contender);
// Of the model with one tensor edited, to the folder `out`. Beside: "a plain copy" and "a plain copy, flushed" of the
// same files. Facts: "proof seconds".
Measurement export_model(const Contender& contender);
// GiB of memory that a forward pass needs beyond the mapped weights, at its peak. Facts: "weights GiB", "seconds".
Measurement forward_memory(const Contender& contender);

}  // namespace retune::bench
