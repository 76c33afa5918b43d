#include "editors/mechanisms/side_routing.h"

#include <algorithm>
#include <limits>

#include "lalm/activation.h"
#include "lalm/insert_builder.h"

namespace retune {

namespace {

constexpr std::int64_t kReferenceRows = 100;

// Slots in the order in which they are asked: the open one first.
std::vector<std::size_t> order_of(const SideMemory& memory) {
  std::vector<std::size_t> order;
  if (memory.open) order.push_back(memory.slots.size() - 1);
  for (std::size_t i = 0; i + (memory.open ? 1 : 0) < memory.slots.size(); ++i) order.push_back(i);
  return order;
}

double least_threshold(const SideMemory& memory, const Routing& routing) {
  double least = std::numeric_limits<double>::infinity();
  for (const SideWeight& slot : memory.slots) least = std::min(least, slot.least_distance * routing.act_ratio);
  return least;
}

class RoutingWriter {
 public:
  using KeepDims = InsertBuilder::KeepDims;

  RoutingWriter(const Bundle& bundle, const std::string& name, const Site& site, const Graph& activation,
                const SideMemory& memory, const Routing& routing)
      : bundle_(bundle),
        site_(site),
        activation_(activation),
        memory_(memory),
        routing_(routing),
        b_(bundle, name, site.value) {
    key_ = b_.tap(site.key);
    best_output_ = b_.tap(site.value);
    own_activated_ = activated(best_output_);
  }

  GraphInsert write() {
    const bool retrieves = routing_.rule == RoutingRule::kRetrieve;
    for (const std::size_t index : order_of(memory_)) {
      const SideWeight& slot = memory_.slots[index];
      const ValueId output = output_of(slot.weight);
      const ValueId distance = distance_of(output);
      const ValueId threshold = b_.scalar(slot.least_distance * routing_.act_ratio);
      const bool open = memory_.open && index + 1 == memory_.slots.size();
      if (!retrieves)
        take(farther(distance, best_distance_), output, distance);
      else if (open)
        take(b_.op("Not", {b_.op("Less", {distance, threshold})}), output, distance);
      else
        take(both(farther(distance, best_distance_), b_.op("Greater", {distance, threshold})), output, distance);
    }
    ValueId chosen = best_output_;
    if (!retrieves) {
      const ValueId nearer = b_.op("Less", {best_distance_, b_.scalar(least_threshold(memory_, routing_))});
      chosen = b_.op("Where", {nearer, b_.tap(site_.value), chosen});
    }
    b_.replace(site_.value, chosen);
    if (routing_.unit == RoutingUnit::kCall) b_.per_call();
    return b_.finish();
  }

 private:
  // [B, T, out]
  ValueId output_of(const Tensor& weight) {
    const ValueId product = b_.op("MatMul", {key_, b_.tensor(weight, "side")});
    return site_.bias ? b_.op("Add", {product, bias()}) : product;
  }
  ValueId bias() {
    if (bias_ == kNoValue) bias_ = b_.tensor(bundle_.parameters().at(*site_.bias).tensor.cast(DType::kF32), "bias");
    return bias_;
  }

  ValueId activated(ValueId x) {
    const ActivationWriter writer{
        .constant = [&](const Tensor& constant) { return b_.tensor(constant, "activation"); },
        .node =
            [&](const Node& node, std::vector<ValueId> inputs) {
              return b_.ops(node.op, std::move(inputs), node.attributes, static_cast<int>(node.outputs.size()));
            },
    };
    const DType type = activation_.value(activation_.inputs.at(0)).dtype;
    const DType end = activation_.value(activation_.outputs.at(0)).dtype;
    const ValueId y = write_activation(activation_, type == DType::kF32 ? x : b_.cast(x, type), writer);
    return end == DType::kF32 ? y : b_.cast(y, DType::kF32);
  }

  // [B, 1, 1], or [B, T, 1] a row at a time.
  ValueId distance_of(ValueId output) {
    const ValueId rows = b_.l2_norm(b_.op("Sub", {activated(output), own_activated_}));  // [B, T, 1]
    if (routing_.unit == RoutingUnit::kToken) return rows;
    const auto over_call = [&](const char* op) { return b_.reduce(op, rows, {1}, KeepDims::kYes); };
    if (routing_.distance == RoutingDistance::kMean) return over_call("ReduceMean");
    if (routing_.distance == RoutingDistance::kMax) return over_call("ReduceMax");
    const ValueId is_long = b_.op("Greater", {b_.extent(key_, 1), b_.ints({kReferenceRows})});
    return b_.op("Where", {is_long, over_call("ReduceMax"), over_call("ReduceMean")});
  }

  // The model's own weight is at distance 0.
  ValueId farther(ValueId distance, ValueId than) {
    return b_.op("Greater", {distance, than == kNoValue ? b_.scalar(0) : than});
  }
  ValueId both(ValueId a, ValueId b) { return b_.op("And", {a, b}); }

  void take(ValueId condition, ValueId output, ValueId distance) {
    best_output_ = b_.op("Where", {condition, output, best_output_});
    best_distance_ = b_.op("Where", {condition, distance, best_distance_ == kNoValue ? b_.scalar(0) : best_distance_});
  }

  const Bundle& bundle_;
  const Site& site_;
  const Graph& activation_;
  const SideMemory& memory_;
  const Routing& routing_;
  InsertBuilder b_;
  ValueId key_ = kNoValue, bias_ = kNoValue, own_activated_ = kNoValue;
  ValueId best_output_ = kNoValue, best_distance_ = kNoValue;
};

}  // namespace

std::optional<std::size_t> route(const SideMemory& memory, const Routing& routing, std::span<const double> distances) {
  std::optional<std::size_t> chosen;
  double farthest = 0;
  const bool retrieves = routing.rule == RoutingRule::kRetrieve;
  for (const std::size_t slot : order_of(memory)) {
    const double threshold = memory.slots[slot].least_distance * routing.act_ratio;
    const bool open = memory.open && slot + 1 == memory.slots.size();
    const bool takes = !retrieves ? distances[slot] > farthest
                       : open     ? distances[slot] >= threshold
                                  : distances[slot] > farthest && distances[slot] > threshold;
    if (!takes) continue;
    chosen = slot;
    farthest = distances[slot];
  }
  if (!retrieves && farthest < least_threshold(memory, routing)) return std::nullopt;
  return chosen;
}

GraphInsert routing_insert(const Bundle& bundle, const std::string& name, const Site& site, const Graph& activation,
                           const SideMemory& memory, const Routing& routing) {
  return RoutingWriter(bundle, name, site, activation, memory, routing).write();
}

GraphInsert side_path_insert(const Bundle& bundle, const std::string& name, const Site& site, const Tensor& weight) {
  InsertBuilder b(bundle, name, site.value);
  ValueId output = b.op("MatMul", {b.tap(site.key), b.tensor(weight, "side")});
  if (site.bias)
    output = b.op("Add", {output, b.tensor(bundle.parameters().at(*site.bias).tensor.cast(DType::kF32), "bias")});
  b.replace(site.value, output);
  return b.finish();
}

}  // namespace retune
