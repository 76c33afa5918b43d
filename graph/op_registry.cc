#include "graph/op_registry.h"

#include <algorithm>
#include <iterator>

#include "graph/ops/families.h"
#include "weights/external_data.h"

namespace retune {

namespace {

// A line a family.
std::vector<Op> every_op() {
  std::vector<Op> all;
  const auto take = [&all](std::vector<Op> family) {
    all.insert(all.end(), std::make_move_iterator(family.begin()), std::make_move_iterator(family.end()));
  };
  take(elementwise_ops());
  take(activation_ops());
  take(arithmetic_ops());
  take(logic_ops());
  take(bitwise_ops());
  take(selection_ops());
  take(cast_ops());
  take(reduction_ops());
  take(ranking_ops());
  take(cumulative_ops());
  take(shape_ops());
  take(dropout_ops());
  take(constant_ops());
  take(movement_ops());
  take(padding_ops());
  take(linear_ops());
  take(einsum_ops());
  take(softmax_ops());
  take(normalization_ops());
  take(channel_normalization_ops());
  take(cross_entropy_ops());
  take(gather_ops());
  take(scatter_ops());
  take(compress_ops());
  take(intervention_ops());
  take(convolution_ops());
  take(conv_transpose_ops());
  take(pooling_ops());
  take(recurrent_ops());
  take(spectrum_ops());
  take(spectral_table_ops());
  take(power_norm_ops());
  take(label_loss_ops());
  take(rearrangement_ops());
  take(resize_ops());
  take(grid_sample_ops());
  take(linear_attention_ops());
  take(unique_ops());
  take(non_max_suppression_ops());
  take(determinant_ops());
  take(attention_ops());
  take(onnx_attention_ops());
  take(flex_attention_ops());
  take(contrib_attention_ops());
  take(rotary_ops());
  take(quantization_ops());
  take(integer_product_ops());
  take(block_quantized_ops());
  take(quantized_gather_ops());
  take(control_ops());
  return all;
}

std::string_view canonical_domain(std::string_view domain) { return domain == "ai.onnx" ? "" : domain; }

}  // namespace

OpRegistry::OpRegistry(std::vector<Op> ops) : ops_(std::move(ops)) {
  for (const Op& op : ops_) by_name_[op.name].push_back(&op);
  // Newest first, so that the first one that is old enough is the right one.
  for (auto& [name, versions] : by_name_)
    std::stable_sort(versions.begin(), versions.end(), [](const Op* a, const Op* b) { return a->since > b->since; });
}

const OpRegistry& OpRegistry::standard() {
  static const OpRegistry registry(every_op());
  return registry;
}

const Op* OpRegistry::find(std::string_view domain, std::string_view name, int version) const {
  const auto found = by_name_.find(std::string(name));
  if (found == by_name_.end()) return nullptr;
  const std::string_view wanted = canonical_domain(domain);
  for (const Op* op : found->second)
    if (op->domain == wanted && op->since <= version) return op;
  // ONNX Runtime writes some of its own operators without their domain (SimplifiedLayerNormalization).
  if (wanted.empty())
    for (const Op* op : found->second)
      if (op->domain == "com.microsoft") return op;
  return nullptr;
}

const Op& OpRegistry::require(const Node& node) const {
  if (const Op* op = find(node.domain, node.op, node.version)) return *op;
  const std::string_view domain = canonical_domain(node.domain);
  throw user_error("{}: operator {} of domain '{}' at opset {} is not supported", node.text(), printable(node.op),
                   domain.empty() ? "ai.onnx" : printable(domain), node.version);
}

}  // namespace retune
