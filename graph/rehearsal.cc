#include "graph/rehearsal.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <string>

namespace retune {

namespace {

bool is_view(const Node& node, std::span<const Tensor> inputs, std::span<const TypeShape> types) {
  static const std::set<std::string> kReshaping = {"Reshape", "Identity", "Squeeze", "Unsqueeze",
                                                   "Flatten", "Expand",   "Cast",    "Dropout"};
  return kReshaping.contains(node.op) && types.size() == 1 && inputs[0].defined() &&
         inputs[0].dtype() == types[0].dtype && inputs[0].numel() == types[0].shape.numel();
}

void fill_with_ones(Tensor& tensor) {
  if (is_packed(tensor.dtype())) {  // no element by itself; nothing divides by codes
    std::memset(tensor.mutable_raw(), 0, tensor.bytes());
    return;
  }
  const Tensor one = Tensor::scalar<float>(1).cast(tensor.dtype());
  const std::size_t size = dtype_size(tensor.dtype());
  for (std::int64_t i = 0; i < tensor.numel(); ++i)
    std::memcpy(tensor.mutable_raw() + static_cast<std::size_t>(i) * size, one.raw(), size);
}

}  // namespace

std::vector<Tensor> rehearse(const Node& node, std::span<const Tensor> inputs, std::span<const TypeShape> output_types,
                             Role role, const ForwardContext::Allocate& allocate) {
  if (role == Role::kPassing && is_view(node, inputs, output_types)) return {inputs[0].reshaped(output_types[0].shape)};
  std::vector<Tensor> outputs;
  const TypeShape* largest = nullptr;
  for (std::size_t i = 0; i < output_types.size(); ++i) {
    const TypeShape& type = output_types[i];
    outputs.push_back(node.outputs[i] == kNoValue ? Tensor() : allocate(type.dtype, type.shape));
    if (!outputs.back().defined()) continue;
    if (role == Role::kResult) fill_with_ones(outputs.back());
    if (largest == nullptr || type.shape.numel() > largest->shape.numel()) largest = &type;
  }
  if (largest != nullptr) allocate(largest->dtype, largest->shape);
  return outputs;
}

}  // namespace retune
