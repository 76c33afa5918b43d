#include "graph/evaluate.h"

#include <algorithm>

#include "graph/buffer_pool.h"
#include "graph/infer.h"
#include "graph/ops/kernel.h"
#include "tensor/half.h"
#include "tensor/narrow.h"

namespace retune {

namespace {

// A 16-bit tensor as f32.
Tensor widened(const Tensor& tensor, ThreadPool& pool, const ForwardContext::Allocate& allocate) {
  Tensor wide = allocate(DType::kF32, tensor.shape());
  float* to = wide.mutable_data<float>();
  visit_stored_float(tensor.dtype(), [&]<class T>(T) {
    if constexpr (sizeof(T) == 2)
      pool.parallel_for(tensor.numel(), kElementGrain,
                        [&, from = tensor.data<T>()](std::int64_t begin, std::int64_t end) {
                          widen(from + begin, to + begin, end - begin);
                        });
  });
  return wide;
}

// An f32 tensor rounded to a 16-bit type.
Tensor narrowed(const Tensor& tensor, DType dtype, ThreadPool& pool, const ForwardContext::Allocate& allocate) {
  Tensor half = allocate(dtype, tensor.shape());
  const float* from = tensor.data<float>();
  visit_stored_float(dtype, [&]<class T>(T) {
    if constexpr (sizeof(T) == 2)
      pool.parallel_for(tensor.numel(), kElementGrain,
                        [&, to = half.mutable_data<T>()](std::int64_t begin, std::int64_t end) {
                          narrow(from + begin, to + begin, end - begin);
                        });
  });
  return half;
}

std::vector<Tensor> forward(const Node& node, const Op& op, std::span<const Tensor> inputs,
                            std::span<const TypeShape> types, ThreadPool& pool,
                            const ForwardContext::Allocate& allocate) {
  ForwardContext context(node, inputs, types, pool, allocate);
  try {
    op.forward(context);
  } catch (const Error& error) {
    throw error_at(node, error);
  }
  return std::move(context.outputs());
}

// An operator that only moves elements, on codes of packed ones.
std::vector<Tensor> forward_codes(const Node& node, const Op& op, std::span<const Tensor> inputs,
                                  std::span<const TypeShape> types, ThreadPool& pool,
                                  const ForwardContext::Allocate& allocate) {
  std::vector<Tensor> codes(inputs.begin(), inputs.end());
  for (Tensor& tensor : codes)
    if (is_packed(tensor.dtype())) tensor = unpack(tensor);
  std::vector<TypeShape> code_types(types.begin(), types.end());
  for (TypeShape& type : code_types)
    if (is_packed(type.dtype)) type.dtype = DType::kU8;
  std::vector<Tensor> outputs = forward(node, op, codes, code_types, pool, allocate);
  for (std::size_t i = 0; i < outputs.size(); ++i)
    if (outputs[i].defined() && is_packed(types[i].dtype)) outputs[i] = pack(types[i].dtype, outputs[i]);
  return outputs;
}

// The first packed type among inputs and outputs; kUndefined if there is none.
DType packed_type(std::span<const Tensor> inputs, std::span<const TypeShape> types) {
  for (const Tensor& tensor : inputs)
    if (is_packed(tensor.dtype())) return tensor.dtype();
  for (const TypeShape& type : types)
    if (is_packed(type.dtype)) return type.dtype;
  return DType::kUndefined;
}

bool is_left_out(const Node& node, std::size_t output) {
  return output < node.outputs.size() && node.outputs[output] == kNoValue;
}

bool makes_nothing(const Node& node, std::span<const TypeShape> types) {
  for (std::size_t i = 0; i < types.size(); ++i)
    if (!is_left_out(node, i) && types[i].shape.numel() != 0) return false;
  return true;
}

}  // namespace

void require_room(const Node& node, std::span<const TypeShape> types) {
  for (const TypeShape& type : types)
    if (type.dtype != DType::kUndefined && !fits_machine(type.dtype, type.shape))
      throw failure("{}: a tensor of shape {} is larger than this machine's memory; use shorter inputs", node.text(),
                    type.shape.text());
}

std::vector<Tensor> evaluate(const Node& node, const Op& op, std::span<const Tensor> inputs,
                             std::span<const TypeShape> output_types, ThreadPool& pool,
                             const ForwardContext::Allocate& allocate) {
  require_room(node, output_types);
  // Kernels go along rows; of an empty tensor there may be 2^40.
  if (makes_nothing(node, output_types)) {
    std::vector<Tensor> outputs;
    for (std::size_t i = 0; i < output_types.size(); ++i)
      outputs.push_back(is_left_out(node, i) ? Tensor() : allocate(output_types[i].dtype, output_types[i].shape));
    return outputs;
  }
  if (op.packed != Op::Packed::kAsStored) {
    if (const DType packed = packed_type(inputs, output_types); packed != DType::kUndefined) {
      if (op.packed == Op::Packed::kAsCodes) return forward_codes(node, op, inputs, output_types, pool, allocate);
      throw user_error("{}: elements of type {} are not supported", node.text(), dtype_name(packed));
    }
  }
  const auto half_tensor = [](const Tensor& t) { return is_half(t.dtype()); };
  const auto half_type = [](const TypeShape& t) { return is_half(t.dtype); };
  if (op.takes_half || (std::none_of(inputs.begin(), inputs.end(), half_tensor) &&
                        std::none_of(output_types.begin(), output_types.end(), half_type)))
    return forward(node, op, inputs, output_types, pool, allocate);

  std::vector<Tensor> wide(inputs.begin(), inputs.end());
  for (Tensor& tensor : wide)
    if (half_tensor(tensor)) tensor = widened(tensor, pool, allocate);
  std::vector<TypeShape> types(output_types.begin(), output_types.end());
  for (TypeShape& type : types)
    if (half_type(type)) type.dtype = DType::kF32;
  std::vector<Tensor> outputs = forward(node, op, wide, types, pool, allocate);
  for (std::size_t i = 0; i < outputs.size(); ++i)
    if (outputs[i].defined() && half_type(output_types[i]))
      outputs[i] = narrowed(outputs[i], output_types[i].dtype, pool, allocate);
  return outputs;
}

}  // namespace retune
