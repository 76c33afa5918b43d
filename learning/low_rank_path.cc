#include "learning/low_rank_path.h"

#include <map>
#include <memory>

#include "graph/graph_builder.h"
#include "graph/graph_copy.h"
#include "tensor/error.h"

namespace retune {

namespace {

class PathAdder {
 public:
  PathAdder(const Graph& source, double scale, PathDropout dropout)
      : source_(source), copy_(source), builder_(copy_.result()), scale_(scale), dropout_(dropout) {}

  Graph run(const std::vector<Site>& sites) {
    for (const Site& site : sites) {
      if (site.kind != Site::Kind::kLinear || site.key.empty())
        throw user_error("site '{}' is not a linear layer; a low-rank path goes beside one such as attn.q", site.name);
      if (const ValueId value = source_.find(site.value); value != kNoValue) sites_[value] = &site;
    }
    copy_.leaves();
    for (std::size_t index = 0; index < source_.nodes().size(); ++index) {
      copy_.node(index);
      for (const ValueId id : source_.nodes()[index].outputs)
        if (const auto found = sites_.find(id); found != sites_.end()) add(id, *found->second);
    }
    Graph graph = copy_.finish();
    graph.inputs.insert(graph.inputs.end(), leaves_.begin(), leaves_.end());
    return graph;
  }

 private:
  ValueId leaf(const std::string& name) {
    leaves_.push_back(copy_.result().add_input(name, DType::kF32));
    return leaves_.back();
  }

  void add(ValueId value, const Site& site) {
    Graph& graph = copy_.result();
    const ValueId alone = copy_.at(value);
    graph.rename(alone, site.value + " without its low-rank path");
    // A layer whose weight is stored in fewer bits may compute in 16 of them or, behind a Cast, in f32: in a graph
    // whose shapes are open only the run tells.
    const bool narrow = site.targets.at(0).stored != DType::kF32;
    ValueId x = copy_.at(source_.require(site.key));
    if (narrow) x = builder_.op("Cast", {x}, {{"to", static_cast<std::int64_t>(DType::kF32)}});
    if (dropout_ == PathDropout::kMasked) x = builder_.mul(x, leaf(low_rank_mask(site)));
    using Swap = GraphBuilder::Swap;
    ValueId low = builder_.matmul(x, leaf(low_rank_a(site)), Swap::kNone, Swap::kLastTwo);
    low = builder_.mul(low, builder_.scalar(scale_, DType::kF32));
    ValueId path = builder_.matmul(low, leaf(low_rank_b(site)), Swap::kNone, Swap::kLastTwo);
    if (narrow) path = builder_.op("CastLike", {path, alone});
    const DType dtype = graph.value(alone).dtype;
    const ValueId sum = builder_.op("Add", {alone, path}, {}, site.value);
    graph.value(sum).dtype = dtype;
    copy_.set(value, sum);
  }

  const Graph& source_;
  GraphCopy copy_;
  GraphBuilder builder_;
  double scale_;
  PathDropout dropout_;
  std::map<ValueId, const Site*> sites_;
  std::vector<ValueId> leaves_;
};

}  // namespace

std::string low_rank_a(const Site& site) { return "low-rank A of " + site.name; }
std::string low_rank_b(const Site& site) { return "low-rank B of " + site.name; }
std::string low_rank_mask(const Site& site) { return "low-rank mask of " + site.name; }

Graph with_low_rank_paths(const Graph& graph, const std::vector<Site>& sites, double scale, PathDropout dropout) {
  return PathAdder(graph, scale, dropout).run(sites);
}

LossGraphs with_low_rank_paths(const LossGraphs& losses, const std::vector<Site>& sites, double scale,
                               PathDropout dropout) {
  const auto added = [&](const std::shared_ptr<const Graph>& graph) {
    return std::make_shared<const Graph>(with_low_rank_paths(*graph, sites, scale, dropout));
  };
  return {added(losses.sound), added(losses.text)};
}

}  // namespace retune
