#include "graph/rematerialize.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "graph/graph_copy.h"

namespace retune {

namespace {

std::size_t at(ValueId id) { return static_cast<std::size_t>(id); }

bool is_view(const Node& node) {
  constexpr std::array<std::string_view, 5> kViews = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"};
  return node.domain.empty() && std::find(kViews.begin(), kViews.end(), node.op) != kViews.end();
}

std::int64_t bytes_of(const Value& value) {
  return value.shape ? static_cast<std::int64_t>(storage_bytes(value.dtype, value.shape->numel()).value_or(0)) : 0;
}

// A value: whose memory it is. Its own, unless it is a view of another computed value.
std::vector<ValueId> owners_of(const Graph& graph) {
  std::vector<ValueId> owners(graph.values().size());
  for (std::size_t i = 0; i < owners.size(); ++i) owners[i] = static_cast<ValueId>(i);
  for (const Node& node : graph.nodes())
    if (is_view(node) && node.outputs[0] != kNoValue) owners[at(node.outputs[0])] = owners[at(node.inputs[0])];
  return owners;
}

// What the choice of cuts needs to know of the forward nodes.
class ForwardPass {
 public:
  ForwardPass(const Graph& graph, std::size_t forward)
      : graph_(graph), forward_(forward), owners_(owners_of(graph)), last_reader_(graph.values().size(), 0) {
    std::vector<bool> saved(graph.values().size(), false);
    for (std::size_t index = 0; index < graph.nodes().size(); ++index)
      for (const ValueId id : graph.nodes()[index].inputs) {
        if (!is_forward(id)) continue;
        const std::size_t owner = at(owners_[at(id)]);
        if (index < forward)
          last_reader_[owner] = std::max(last_reader_[owner], index);
        else
          saved[owner] = true;
      }
    saved_before_.assign(forward + 1, 0);
    std::vector<std::int64_t> begins(forward + 1, 0), ends(forward + 1, 0);
    for (std::size_t index = 0; index < forward; ++index) {
      saved_before_[index + 1] = saved_before_[index];
      for (const ValueId id : graph.nodes()[index].outputs) {
        if (id == kNoValue || owners_[at(id)] != id) continue;
        const std::int64_t bytes = bytes_of(graph.value(id));
        if (saved[at(id)]) saved_before_[index + 1] += bytes;
        if (last_reader_[at(id)] <= index) continue;
        begins[index + 1] += bytes;
        ends[last_reader_[at(id)]] += bytes;
      }
    }
    crossing_.assign(forward + 1, 0);
    std::int64_t alive = 0;
    for (std::size_t cut = 0; cut <= forward; ++cut) {
      alive += begins[cut];
      crossing_[cut] = alive;
      alive -= ends[cut];
    }
  }

  // Where to cut into `segments` that each hold about as much of what the backward pass reads: at the place nearby with
  // the least alive. Ascending, each in (0, forward).
  std::vector<std::size_t> cuts(std::size_t segments) const {
    std::vector<std::size_t> result;
    const double share = static_cast<double>(saved_before_[forward_]) / static_cast<double>(segments);
    for (std::size_t i = 1; i < segments; ++i) {
      const auto from = place_of(share * (static_cast<double>(i) - 0.5));
      const auto to = place_of(share * (static_cast<double>(i) + 0.5));
      std::size_t best = from;
      for (std::size_t cut = from; cut < to; ++cut)
        if (crossing_[cut] < crossing_[best]) best = cut;
      if (best > (result.empty() ? 0 : result.back()) && best < forward_) result.push_back(best);
    }
    return result;
  }

 private:
  bool is_forward(ValueId id) const {
    if (id == kNoValue) return false;
    const std::int32_t producer = graph_.value(owners_[at(id)]).producer;
    return producer >= 0 && static_cast<std::size_t>(producer) < forward_;
  }
  std::size_t place_of(double bytes) const {
    const auto found = std::lower_bound(saved_before_.begin(), saved_before_.end(), static_cast<std::int64_t>(bytes));
    return std::min(static_cast<std::size_t>(found - saved_before_.begin()), forward_);
  }

  const Graph& graph_;
  std::size_t forward_;
  std::vector<ValueId> owners_;
  std::vector<std::size_t> last_reader_;    // a value: the last forward node that reads it or a view of it
  std::vector<std::int64_t> saved_before_;  // a place: bytes that the backward pass reads, computed before it
  std::vector<std::int64_t> crossing_;      // a place: bytes computed before it that forward nodes behind it read
};

// The graph with its forward nodes cut at these places.
class Recomputation {
 public:
  Recomputation(const Graph& graph, std::size_t forward, const std::vector<std::size_t>& cuts)
      : graph_(graph), forward_(forward), copy_(graph), segments_(forward, 0), recomputed_(graph.values().size()) {
    for (const std::size_t cut : cuts)
      for (std::size_t index = cut; index < forward; ++index) ++segments_[index];
    last_ = cuts.size();
    find_recomputed();
  }

  Graph make() {
    copy_.leaves();
    for (std::size_t index = 0; index < forward_; ++index) copy_.node(index);
    std::vector<bool> done(last_ + 1, false);
    for (std::size_t index = forward_; index < graph_.nodes().size(); ++index) {
      for (const ValueId id : graph_.nodes()[index].inputs) {
        if (id == kNoValue || !recomputed_[at(id)]) continue;
        const std::size_t segment = segments_[static_cast<std::size_t>(graph_.value(id).producer)];
        if (!done[segment]) recompute(segment);
        done[segment] = true;
      }
      copy_.node(index);
    }
    return copy_.finish();
  }

 private:
  // Values of all segments but the last that cross no cut and are read by the backward pass, and what the segment
  // computes them from.
  void find_recomputed() {
    std::vector<bool> crosses(graph_.values().size(), false);
    for (std::size_t index = 0; index < forward_; ++index)
      for (const ValueId id : graph_.nodes()[index].inputs)
        if (id != kNoValue && graph_.value(id).kind == ValueKind::kComputed &&
            segments_[static_cast<std::size_t>(graph_.value(id).producer)] != segments_[index])
          crosses[at(id)] = true;
    for (const ValueId id : graph_.outputs)
      if (id != kNoValue) crosses[at(id)] = true;
    const auto want = [&](ValueId id) {
      if (id == kNoValue || graph_.value(id).kind != ValueKind::kComputed || crosses[at(id)]) return;
      const auto producer = static_cast<std::size_t>(graph_.value(id).producer);
      if (producer < forward_ && segments_[producer] < last_) recomputed_[at(id)] = true;
    };
    for (std::size_t index = graph_.nodes().size(); index-- > 0;) {
      const Node& node = graph_.nodes()[index];
      const bool again = std::any_of(node.outputs.begin(), node.outputs.end(),
                                     [&](ValueId id) { return id != kNoValue && recomputed_[at(id)]; });
      if (index >= forward_ || again)
        for (const ValueId id : node.inputs) want(id);
    }
  }

  // Behind this, the segment's recomputed values stand for the originals.
  void recompute(std::size_t segment) {
    for (std::size_t index = 0; index < forward_; ++index) {
      const Node& node = graph_.nodes()[index];
      if (segments_[index] != segment || std::none_of(node.outputs.begin(), node.outputs.end(), [&](ValueId id) {
            return id != kNoValue && recomputed_[at(id)];
          }))
        continue;
      Node again = node;
      for (ValueId& id : again.inputs) id = copy_.at(id);
      const std::vector<ValueId> outputs =
          copy_.result().add_node(std::move(again), std::vector<std::string>(node.outputs.size()));
      for (std::size_t i = 0; i < outputs.size(); ++i) {
        if (node.outputs[i] == kNoValue) continue;
        copy_.result().value(outputs[i]).dtype = graph_.value(node.outputs[i]).dtype;
        copy_.result().value(outputs[i]).shape = graph_.value(node.outputs[i]).shape;
        if (recomputed_[at(node.outputs[i])]) copy_.set(node.outputs[i], outputs[i]);
      }
    }
  }

  const Graph& graph_;
  std::size_t forward_;
  GraphCopy copy_;
  std::vector<std::size_t> segments_;  // a forward node
  std::size_t last_ = 0;
  std::vector<bool> recomputed_;  // a value
};

}  // namespace

std::int64_t peak_bytes(const Graph& graph) {
  const std::vector<ValueId> owners = owners_of(graph);
  std::vector<std::int64_t> readers(graph.values().size(), 0);
  for (const Node& node : graph.nodes())
    for (const ValueId id : node.inputs)
      if (id != kNoValue) ++readers[at(owners[at(id)])];
  for (const ValueId id : graph.outputs)
    if (id != kNoValue) ++readers[at(owners[at(id)])];
  std::int64_t alive = 0, peak = 0;
  for (const Node& node : graph.nodes()) {
    std::int64_t unread = 0;
    for (const ValueId id : node.outputs) {
      if (id == kNoValue || owners[at(id)] != id) continue;
      alive += bytes_of(graph.value(id));
      if (readers[at(id)] == 0) unread += bytes_of(graph.value(id));
    }
    peak = std::max(peak, alive);
    alive -= unread;
    for (const ValueId id : node.inputs) {
      if (id == kNoValue) continue;
      const ValueId owner = owners[at(id)];
      if (--readers[at(owner)] == 0 && graph.value(owner).kind == ValueKind::kComputed)
        alive -= bytes_of(graph.value(owner));
    }
  }
  return peak;
}

Graph rematerialize(Graph graph, std::size_t forward, std::int64_t budget) {
  std::int64_t least = peak_bytes(graph);
  if (least <= budget) return graph;
  const ForwardPass pass(graph, forward);
  std::optional<Graph> best;
  std::size_t previous = 0;
  for (std::size_t segments = 2; segments <= forward; segments += (segments + 1) / 2) {
    const std::vector<std::size_t> cuts = pass.cuts(segments);
    if (cuts.size() == previous) continue;
    previous = cuts.size();
    Graph cut = Recomputation(graph, forward, cuts).make();
    const std::int64_t peak = peak_bytes(cut);
    if (peak >= least) continue;
    least = peak;
    best = std::move(cut);
    if (least <= budget) break;
  }
  return best ? std::move(*best) : std::move(graph);
}

}  // namespace retune
