#include <algorithm>
#include <cmath>

#include "graph/evaluate.h"
#include "graph/node_by_node.h"
#include "graph/op_registry.h"
#include "graph/specialize.h"
#include "tensor/rng.h"
#include "tensor/thread_pool.h"

namespace retune {

std::vector<Tensor> run_node_by_node(const Graph& specialised, const Leaves& leaves,
                                     const std::vector<ValueId>& wanted) {
  ThreadPool pool(1);
  std::vector<Tensor> tensors(specialised.values().size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const Value& value = specialised.values()[i];
    if (value.kind == ValueKind::kConstant) tensors[i] = value.constant;
    if (value.kind == ValueKind::kInput || value.kind == ValueKind::kParameter)
      if (const auto leaf = leaves.find(value.name); leaf != leaves.end()) tensors[i] = leaf->second;
  }
  for (const Node& node : specialised.nodes()) {
    std::vector<Tensor> inputs;
    for (const ValueId id : node.inputs)
      inputs.push_back(id == kNoValue ? Tensor() : tensors[static_cast<std::size_t>(id)]);
    std::vector<TypeShape> types;
    for (const ValueId id : node.outputs)
      types.push_back(id == kNoValue ? TypeShape{}
                                     : TypeShape{specialised.value(id).dtype, *specialised.value(id).shape});
    const std::vector<Tensor> outputs =
        evaluate(node, OpRegistry::standard().require(node), inputs, types, pool,
                 [](DType dtype, const Shape& shape) { return Tensor::empty(dtype, shape); });
    for (std::size_t i = 0; i < outputs.size(); ++i)
      if (node.outputs[i] != kNoValue) tensors[static_cast<std::size_t>(node.outputs[i])] = outputs[i];
  }
  std::vector<Tensor> result;
  for (const ValueId id : wanted) result.push_back(tensors[static_cast<std::size_t>(id)]);
  return result;
}

Graph specialize_to(const Graph& graph, const Leaves& leaves, const std::vector<std::string>& outputs) {
  ThreadPool pool(1);
  std::map<std::string, InputSpec> specs;
  for (const auto& [name, tensor] : leaves) specs[name] = {{tensor.dtype(), tensor.shape()}, Tensor()};
  return specialize(graph, specs, outputs, pool);
}

double relative_difference(const Tensor& got, const Tensor& expected) {
  if (!got.defined() || got.dtype() != expected.dtype() || !(got.shape() == expected.shape())) return INFINITY;
  const std::vector<double> a = got.to_f64(), b = expected.to_f64();
  double largest = 0, magnitude = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) return INFINITY;
    largest = std::max(largest, std::abs(a[i] - b[i]));
    magnitude = std::max(magnitude, std::abs(b[i]));
  }
  return largest == 0 ? 0 : largest / magnitude;
}

Tensor normal_f32(Shape shape, std::uint64_t seed) {
  Rng rng(seed);
  Tensor tensor = Tensor::empty(DType::kF32, std::move(shape));
  for (std::int64_t i = 0; i < tensor.numel(); ++i) tensor.mutable_data<float>()[i] = static_cast<float>(rng.normal());
  return tensor;
}

}  // namespace retune
