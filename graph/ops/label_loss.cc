// Losses of class labels (12, 13), as bodies of other operators: NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss.
//
//   x [N, C, d...], target i32 or i64 [N, d...], weight? [C]
//   none  l = -weight[target] x[n, target, d...], 0 where target is ignore_index
//   sum   the sum of l;   mean  the sum of l over the sum of the weights that were used
//
// SoftmaxCrossEntropyLoss is that of LogSoftmax(x), which is its second output.
#include "graph/ops/body.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"

namespace retune {

namespace {

void require_labels(const InferContext& c) {
  require_inputs(c, 2);
  require_float(c, 0);
  const Shape &x = c.shape(0), &target = c.shape(1);
  if (c.dtype(1) != DType::kI32 && c.dtype(1) != DType::kI64)
    throw user_error("labels must be i32 or i64, got {}", dtype_name(c.dtype(1)));
  bool fits = x.rank() >= 2 && target.rank() == x.rank() - 1 && target[0] == x[0];
  for (int axis = 1; fits && axis < target.rank(); ++axis) fits = target[axis] == x[axis + 1];
  if (!fits) throw user_error("labels {} do not fit scores {}", target.text(), x.text());
  if (c.has(2) && !(c.shape(2) == Shape{x[1]}))
    throw user_error("weight is {}, expected [{}]", c.shape(2).text(), x[1]);
}

// The loss of log probabilities [N, C, d...].
ValueId likelihood_loss(Body& body, const InferContext& c, ValueId log_probabilities) {
  GraphBuilder& b = body.builder();
  const Attributes& a = c.attributes();
  const DType dtype = c.dtype(0);
  const std::string reduction = a.s("reduction", "mean");
  if (reduction != "none" && reduction != "sum" && reduction != "mean")
    throw user_error("reduction is '{}', expected none, sum or mean", reduction);
  ValueId target = body.in(1), ignored = kNoValue;
  const bool may_ignore = a.has("ignore_index");
  const auto label = [&](std::int64_t value) {
    return b.constant(Tensor::scalar<std::int64_t>(value).cast(c.dtype(1)));
  };
  if (may_ignore) {
    ignored = b.op("Equal", {target, label(a.i("ignore_index", 0))});
    target = b.op("Where", {ignored, label(0), target});
  }
  const Attributes along{{"axis", std::int64_t{1}}};
  const ValueId column = b.op("Unsqueeze", {target, b.ints({1})});
  const ValueId picked = b.op("GatherElements", {log_probabilities, column}, along);
  ValueId loss = b.neg(b.reshape(picked, c.shape(1))), weight = kNoValue;
  if (c.has(2)) weight = b.op("Gather", {body.in(2), target});
  if (may_ignore) {
    const ValueId used = weight == kNoValue ? b.scalar(1, dtype) : weight;
    weight = b.op("Where", {ignored, b.scalar(0, dtype), used});
  }
  if (weight != kNoValue) loss = b.mul(loss, weight);
  if (reduction == "none") return loss;
  const Attributes all{{"keepdims", std::int64_t{0}}};
  if (reduction == "mean" && weight == kNoValue) return b.op("ReduceMean", {loss}, all);
  const ValueId sum = b.op("ReduceSum", {loss}, all);
  return reduction == "sum" ? sum : b.div(sum, b.op("ReduceSum", {weight}, all));
}

Graph likelihood_body(const InferContext& c) {
  require_labels(c);
  Body body(c);
  return body.finish({likelihood_loss(body, c, body.in(0))});
}

Graph cross_entropy_body(const InferContext& c) {
  require_labels(c);
  Body body(c);
  const ValueId log_probabilities = body.builder().op("LogSoftmax", {body.in(0)}, {{"axis", std::int64_t{1}}});
  return body.finish({likelihood_loss(body, c, log_probabilities), log_probabilities});
}

}  // namespace

std::vector<Op> label_loss_ops() {
  return {{.domain = "", .name = "NegativeLogLikelihoodLoss", .since = 12, .body = likelihood_body},
          {.domain = "", .name = "SoftmaxCrossEntropyLoss", .since = 12, .body = cross_entropy_body}};
}

}  // namespace retune
