// What the bodies of attention operators are built from: heads, masks and the private Attention between them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "graph/graph_builder.h"
#include "graph/op.h"

namespace retune {

// A body (Op::body) under construction: a graph with an input for each input of the node that is there.
class Body {
 public:
  explicit Body(const InferContext& context);
  Body(const Body&) = delete;
  Body& operator=(const Body&) = delete;

  GraphBuilder& builder() { return builder_; }
  // The body's value for input i of the node; kNoValue if it is absent.
  ValueId in(int i) const {
    return i < static_cast<int>(inputs_.size()) ? inputs_[static_cast<std::size_t>(i)] : kNoValue;
  }
  Shape shape(ValueId id) const { return builder_.shape(id); }
  Graph finish(std::vector<ValueId> outputs);

 private:
  Graph graph_;
  GraphBuilder builder_;
  std::vector<ValueId> inputs_;
};

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
