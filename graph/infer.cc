#include "graph/infer.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "weights/external_data.h"

namespace retune {

namespace {

// ONNX's operators of which every version has so many inputs. An input too many is a mistake of the exporter that would
// otherwise be ignored.
constexpr std::string_view kUnary[] = {
    "Abs",       "Acos",       "Acosh",      "Asin",   "Asinh",      "Atan",    "Atanh",   "BitwiseNot", "Cast",
    "Ceil",      "Cos",        "Cosh",       "Elu",    "Erf",        "Exp",     "Flatten", "Floor",      "Gelu",
    "HardSwish", "LeakyRelu",  "Identity",   "IsInf",  "IsNaN",      "Log",     "Neg",     "Not",        "Relu",
    "Round",     "LogSoftmax", "Reciprocal", "Selu",   "Shape",      "Sigmoid", "Sign",    "Sin",        "Sinh",
    "Size",      "Softmax",    "Softplus",   "Sqrt",   "Softsign",   "Tan",     "Tanh",    "Transpose",  "Mish",
    "Celu",      "NonZero",    "ArgMax",     "ArgMin", "HardSigmoid"};
constexpr std::string_view kBinary[] = {"Add",    "And",        "BitShift", "Div",    "Equal",          "Expand",
                                        "Gather", "Greater",    "Less",     "MatMul", "GatherElements", "GatherND",
                                        "Mod",    "Mul",        "Or",       "PRelu",  "GreaterOrEqual", "LessOrEqual",
                                        "Pow",    "BitwiseXor", "Sub",      "Xor",    "BitwiseAnd",     "BitwiseOr"};
constexpr std::string_view kTernary[] = {"OneHot", "Range", "ScatterElements", "ScatterND", "Where"};

void check_input_count(const Node& node) {
  if (!node.domain.empty()) return;
  // ONNX reads inputs without a name at the end as absent.
  std::size_t given = node.inputs.size();
  while (given > 0 && node.inputs[given - 1] == kNoValue) --given;
  const auto most = [&](const auto& names, std::size_t count) {
    if (given > count && std::find(std::begin(names), std::end(names), node.op) != std::end(names))
      throw user_error("{} takes {} input{}, the node names {}", node.op, count, count == 1 ? "" : "s", given);
  };
  most(kUnary, 1);
  most(kBinary, 2);
  most(kTernary, 3);
}

// Runs f, whose user errors then begin with the node.
template <class F>
auto named(const Node& node, F&& f) {
  try {
    return f();
  } catch (const Error& error) {
    throw error_at(node, error);
  }
}

}  // namespace

Error error_at(const Node& node, const Error& error) {
  constexpr std::size_t kShown = 1000;
  return {error.code(), node.text() + ": " + printable(error.what(), kShown)};
}

std::vector<InferContext::Result> infer(const Graph& graph, const Node& node, const Op& op) {
  InferContext context(graph, node);
  if (op.body) {
    const Graph body = body_of(graph, node, op);
    for (std::size_t i = 0; i < body.outputs.size(); ++i) {
      const Value& output = body.value(body.outputs[i]);
      context.set(static_cast<int>(i), output.dtype, *output.shape);
    }
    return context.results();
  }
  return named(node, [&] {
    check_input_count(node);
    op.infer(context);
    for (std::size_t i = 0; i < context.results().size(); ++i)
      if (node.outputs[i] != kNoValue && !context.results()[i].set)
        throw user_error("output {} does not exist for {} in operator set {}", i, node.op, node.version);
    return context.results();
  });
}

Graph body_of(const Graph& graph, const Node& node, const Op& op) {
  return named(node, [&] {
    Graph body = op.body(InferContext(graph, node));
    if (body.outputs.size() < node.outputs.size())
      throw user_error("{} has {} outputs here, the node names {}", node.op, body.outputs.size(), node.outputs.size());
    return body;
  });
}

}  // namespace retune
