// What the bodies of attention operators are built from: heads, masks and the private Attention between them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "graph/ops/body.h"

namespace retune {

// [B, S, H D] to [B, H, S, D] and back.
ValueId split_heads(Body& body, ValueId x, std::int64_t heads);
ValueId join_heads(Body& body, ValueId x);

// The sum of two masks, either of which may be kNoValue.
ValueId add_masks(Body& body, ValueId a, ValueId b);
// bool (true attends) to an additive mask of `dtype` with `masked` where it is false.
ValueId mask_where_false(Body& body, ValueId attends, DType dtype, double masked);
// [S, T] with -inf where the key is behind the query: t > s + offset. kNoValue if no key is.
ValueId causal_mask(Body& body, std::int64_t queries, std::int64_t keys, std::int64_t offset, DType dtype);
// [1, 1, 1, n] of i64: 0, 1, ..., n - 1.
ValueId key_positions(Body& body, std::int64_t n);

struct AttentionOptions {
  double scale = 1;
  double softcap = 0;
};
// softmax(scale q k^T + mask) v of [B, heads, positions, width].
ValueId attend(Body& body, ValueId q, ValueId k, ValueId v, ValueId mask, const AttentionOptions& options);

// past ‖ x along the positions of [B, heads, positions, width]; x alone if there is no past.
ValueId append_to_past(Body& body, ValueId past, ValueId x);

}  // namespace retune
