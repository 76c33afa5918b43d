// Which weight answers a call: the model's own or one of those beside it, by how far its activation moves from the
// model's own (methods.md 5.15, items 3 and 7), as a rule and as nodes of the model.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "adapters/graph_insert.h"
#include "editors/mechanisms/side_memory.h"
#include "graph/graph.h"
#include "lalm/bundle.h"
#include "lalm/site.h"

namespace retune {

enum class RoutingDistance {
  kMean,       // over the rows of a call, as in training
  kMax,        // of them
  kReference,  // the mean up to 100 rows, else the maximum
};
enum class RoutingUnit {
  kCall,   // one decision for all rows of a call of the graph
  kToken,  // one a row
};
enum class RoutingRule {
  // The open slot if it is far enough, else the model's own; then each closed slot that is farther than the choice so
  // far and than its own threshold.
  kRetrieve,
  kMerge,  // the farthest, unless all are nearer than the least threshold
};

struct Routing {
  RoutingDistance distance = RoutingDistance::kMean;
  RoutingUnit unit = RoutingUnit::kCall;
  RoutingRule rule = RoutingRule::kRetrieve;
  double act_ratio = 0.88;  // a slot's threshold, in its least distances; >= 0
};

// The slot that answers, by the distances of all slots; nothing: the model's own weight.
std::optional<std::size_t> route(const SideMemory& memory, const Routing& routing, std::span<const double> distances);

// The same as nodes beside the site: what it gives for every slot, and the choice among them. in * out floats a slot.
// `activation` as lalm/activation.h finds it. `memory` has a slot.
GraphInsert routing_insert(const Bundle& bundle, const std::string& name, const Site& site, const Graph& activation,
                           const SideMemory& memory, const Routing& routing);

// The site with another weight, f32 [in, out], always: what is trained. The weight is the insert's one tensor of that
// shape, labelled "side".
GraphInsert side_path_insert(const Bundle& bundle, const std::string& name, const Site& site, const Tensor& weight);

}  // namespace retune
