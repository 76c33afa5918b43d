#include "graph/evaluate.h"

#include <algorithm>

namespace retune {

namespace {

std::vector<Tensor> forward(const Node& node, const Op& op, std::span<const Tensor> inputs,
                            std::span<const TypeShape> types, ThreadPool& pool,
                            const ForwardContext::Allocate& allocate) {
  ForwardContext context(node, inputs, types, pool, allocate);
  try {
    op.forward(context);
  } catch (const Error& error) {
    throw Error(error.code(), node.text() + ": " + error.what());
  }
  return std::move(context.outputs());
}

}  // namespace

std::vector<Tensor> evaluate(const Node& node, const Op& op, std::span<const Tensor> inputs,
                             std::span<const TypeShape> output_types, ThreadPool& pool,
                             const ForwardContext::Allocate& allocate) {
  const auto half_tensor = [](const Tensor& t) { return is_half(t.dtype()); };
  const auto half_type = [](const TypeShape& t) { return is_half(t.dtype); };
  if (op.takes_half || (std::none_of(inputs.begin(), inputs.end(), half_tensor) &&
                        std::none_of(output_types.begin(), output_types.end(), half_type)))
    return forward(node, op, inputs, output_types, pool, allocate);

  std::vector<Tensor> wide(inputs.begin(), inputs.end());
  for (Tensor& tensor : wide)
    if (half_tensor(tensor)) tensor = tensor.cast(DType::kF32);
  std::vector<TypeShape> types(output_types.begin(), output_types.end());
  for (TypeShape& type : types)
    if (half_type(type)) type.dtype = DType::kF32;
  std::vector<Tensor> outputs = forward(node, op, wide, types, pool, allocate);
  for (std::size_t i = 0; i < outputs.size(); ++i)
    if (outputs[i].defined()) outputs[i] = outputs[i].cast(output_types[i].dtype);
  return outputs;
}

}  // namespace retune
