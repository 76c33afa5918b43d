#include "bench/lalm/products.h"

#include <algorithm>
#include <set>

#include "bench/lalm/batch.h"
#include "bench/lalm/works.h"
#include "graph/specialize.h"
#include "tensor/error.h"

namespace retune::bench {

namespace {

// Read a weight matrix without multiplying by it.
const std::set<std::string> kReaders = {"Gather", "GatherGrad", "Transpose", "Reshape", "Cast", "Identity", "Concat"};

const Shape& shape_of(const Graph& graph, ValueId id) { return *graph.value(id).shape; }

bool is_product(const Node& node) { return node.op == "MatMul" || node.op == "FusedMatMul" || node.op == "Gemm"; }

double product_operations(const Graph& graph, const Node& node) {
  const Shape& left = shape_of(graph, node.inputs[0]);
  const bool transposed = node.attributes.i("transA", 0) != 0;
  const std::int64_t depth = left.rank() == 1 ? left[0] : left.back(transposed ? 1 : 0);
  return 2.0 * static_cast<double>(shape_of(graph, node.outputs[0]).numel()) * static_cast<double>(depth);
}

// Scores and their product with the values; the gradient has two products for each of them (that it computes the scores
// again is not work that anybody asked for).
double attention_operations(const Graph& graph, const Node& node) {
  const Shape &q = shape_of(graph, node.inputs[0]), &v = shape_of(graph, node.inputs[2]);
  const double forward =
      2.0 * static_cast<double>(q[0] * q[1] * q[2]) * static_cast<double>(v[2]) * static_cast<double>(q[3] + v[3]);
  return node.op == "Attention" ? forward : 2 * forward;
}

void refuse_unknown(const Graph& graph, const Node& node) {
  if (kReaders.contains(node.op)) return;
  for (const ValueId id : node.inputs)
    if (id != kNoValue && graph.value(id).kind == ValueKind::kParameter && shape_of(graph, id).rank() == 2)
      throw user_error("the plan has {}, whose matrix products are not counted; add it to bench/lalm/products.cc",
                       node.text());
}

std::shared_ptr<const Graph> alone(const Graph& graph, const Node& node) {
  Graph single;
  Node copy = node;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    if (node.inputs[i] == kNoValue) continue;
    const Value& operand = graph.value(node.inputs[i]);
    if (operand.kind == ValueKind::kParameter) {
      copy.inputs[i] =
          single.add_parameter(operand.name, operand.dtype, *operand.shape, operand.file, operand.initializer);
    } else {
      copy.inputs[i] = single.add_input(fmt::format("operand {}", i), operand.dtype);
      single.value(copy.inputs[i]).shape = operand.shape;
    }
  }
  copy.outputs = {kNoValue};
  single.outputs = single.add_node(copy, {"product"});
  return std::make_shared<const Graph>(std::move(single));
}

Plan plan_of(const BatchWork& work, ThreadPool& pool) {
  Request request = work.request;
  while (true) {
    try {
      return make_plan(*work.graph, request, pool);
    } catch (const NeedsInput& needs) {
      request.pinned.insert(request.pinned.end(), needs.inputs.begin(), needs.inputs.end());
    }
  }
}

// Activations that were just computed are in the cache: equal shapes share one tensor. Weights are the model's own.
class Operands {
 public:
  Request request_for(const Graph& product) {
    Request request;
    request.outputs = {"product"};
    for (const Value& value : product.values())
      if (value.kind == ValueKind::kInput) request.inputs[value.name] = {of(value.dtype, *value.shape)};
    return request;
  }

 private:
  Tensor of(DType dtype, const Shape& shape) {
    Tensor& tensor = made_[fmt::format("{} {}", dtype_name(dtype), shape.text())];
    if (!tensor.defined()) tensor = noise(shape, 1).cast(dtype);
    return tensor;
  }
  std::map<std::string, Tensor> made_;
};

}  // namespace

PlannedProducts products_of(const Plan& plan) {
  PlannedProducts result;
  for (const Node& node : plan.graph.nodes()) {
    if (is_product(node)) {
      const double operations = product_operations(plan.graph, node);
      result.products.push_back({alone(plan.graph, node), operations});
      result.operations += operations;
    } else if (node.op == "Attention" || node.op == "AttentionGrad") {
      result.operations += attention_operations(plan.graph, node);
    } else {
      refuse_unknown(plan.graph, node);
    }
  }
  return result;
}

Measurement products(const Contender& contender) {
  const Bundle bundle = Bundle::open(contender.folder);
  Session session({.threads = contender.threads, .max_plans = std::size_t{1} << 14});
  const Sizes& sizes = contender.sizes;
  const PlannedProducts planned = products_of(
      plan_of(sizes.of == "forward" ? forward_work(session, bundle, sizes) : gradient_work(session, bundle, sizes),
              session.pool()));
  Operands operands;
  std::vector<Request> requests;
  double product_operations = 0;
  for (const PlannedProduct& product : planned.products) {
    requests.push_back(operands.request_for(*product.graph));
    product_operations += product.operations;
  }
  // One pass reads all of the weights, which no cache holds: each product finds its own cold. What the Session does
  // around a product is not part of its time.
  const auto pass = [&] {
    session.reset_counters();
    for (std::size_t i = 0; i < requests.size(); ++i)
      session.run(planned.products[i].graph, bundle.parameters(), requests[i]);
    double seconds = 0;
    for (const auto& [op, spent] : session.counters().seconds_by_op) seconds += spent;
    return seconds;
  };
  Measurement result;
  session.profile(true);
  for (int i = 0; i < sizes.repeats.warm_up; ++i) pass();
  for (int i = 0; i < sizes.repeats.runs; ++i) result.values.push_back(pass());
  result.facts = {{"operations", planned.operations}, {"product operations", product_operations}};
  return result;
}

}  // namespace retune::bench
