#include "learning/low_rank_tuning.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "graph/optimizer.h"
#include "lalm/answer.h"
#include "learning/gradient_sum.h"
#include "tensor/error.h"

namespace retune {

namespace {

// Each row has a stream of its own, so that any number of threads draws the same.
Tensor dropout_mask(const Shape& shape, double dropout, const Rng& rng, ThreadPool& pool) {
  constexpr std::int64_t kRows = 16;  // a task
  Tensor mask = Tensor::empty(DType::kF32, shape);
  float* to = mask.mutable_data<float>();
  const std::int64_t width = shape.back(), rows = shape.numel() / std::max<std::int64_t>(width, 1);
  const auto kept = static_cast<float>(1 / (1 - dropout));
  const auto limit = static_cast<std::uint32_t>(dropout * 0x1p32);
  pool.parallel_for(rows, kRows, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      Rng stream = rng.fork("row", static_cast<std::uint64_t>(row));
      for (std::int64_t i = 0; i < width; ++i) to[row * width + i] = stream.bits() < limit ? 0.0F : kept;
    }
  });
  return mask;
}

// The adapter in training, as leaves of the requests.
class AdapterInTraining {
 public:
  AdapterInTraining(const std::vector<Site>& sites, const LowRankAdapter& start) : sites_(sites) {
    for (const Site& site : sites) {
      masters_[low_rank_a(site)] = start.at(site.name).a.copy();
      masters_[low_rank_b(site)] = start.at(site.name).b.copy();
    }
    for (const auto& [name, tensor] : masters_) names_.push_back(name);
  }

  const std::vector<std::string>& names() const { return names_; }
  std::map<std::string, Tensor>& masters() { return masters_; }

  // The factors as they are now, under versions that nothing had before: the Session's kept values depend on none.
  void feed(Session& session, std::vector<SuffixRequest>& requests) const {
    for (const auto& [name, tensor] : masters_) {
      const Feed now{tensor, session.fresh_version()};
      for (SuffixRequest& suffix : requests) suffix.request.inputs[name] = now;
    }
  }

  LowRankAdapter adapter() const {
    LowRankAdapter adapter;
    for (const Site& site : sites_) adapter[site.name] = {masters_.at(low_rank_a(site)), masters_.at(low_rank_b(site))};
    return adapter;
  }

 private:
  const std::vector<Site>& sites_;
  std::map<std::string, Tensor> masters_;
  std::vector<std::string> names_;
};

// Loss and gradients of all lessons, one after another.
double evaluate(Session& session, const Bundle& bundle, const std::vector<SuffixRequest>& requests,
                GradientSums& gradients) {
  double loss = 0;
  for (const SuffixRequest& suffix : requests) {
    const Results results = session.run(suffix.graph, bundle.parameters(), suffix.request);
    loss += static_cast<double>(results[kLessonLoss].tensor.data<float>()[0]);
    for (const std::string& name : suffix.request.wrt) add_gradient(gradients, name, results["grad:" + name].tensor);
  }
  return loss;
}

// Dropout of the paths' inputs: a mask a step, a lesson and a site. Without dropout there is none.
class PathMasks {
 public:
  PathMasks(Session& session, const Bundle& bundle, const std::vector<Site>& sites, const std::vector<Lesson>& lessons,
            double dropout, const Rng& rng)
      : sites_(sites), dropout_(dropout), rng_(rng) {
    if (dropout == 0) return;
    for (const Lesson& lesson : lessons) shapes_.push_back(key_shapes(session, bundle, lesson));
  }

  // Values that depend on a mask are those of one step.
  void announce(std::vector<SuffixRequest>& requests) const {
    for (std::size_t i = 0; i < shapes_.size(); ++i)
      for (const Site& site : sites_) requests[i].request.varying.push_back(low_rank_mask(site));
  }

  void feed(Session& session, std::vector<SuffixRequest>& requests, std::int64_t step) const {
    for (std::size_t i = 0; i < shapes_.size(); ++i)
      for (const Site& site : sites_) {
        const auto shape = shapes_[i].find(site.name);
        if (shape == shapes_[i].end()) continue;
        const Rng draws = rng_.fork("step", static_cast<std::uint64_t>(step)).fork(site.name, i);
        requests[i].request.inputs[low_rank_mask(site)] = {dropout_mask(shape->second, dropout_, draws, session.pool()),
                                                           session.fresh_version()};
      }
  }

 private:
  using Shapes = std::map<std::string, Shape>;  // of keys, by the site's name

  // Of the sites that the lesson's graph holds.
  Shapes key_shapes(Session& session, const Bundle& bundle, const Lesson& lesson) const {
    SuffixRequest suffix = suffix_request(session, bundle, lesson.prompt, forced_ids(lesson), 0);
    std::set<std::string> keys;
    for (const Site& site : sites_)
      if (suffix.graph->find(site.value) != kNoValue) keys.insert(site.key);
    suffix.request.outputs.assign(keys.begin(), keys.end());
    const Results results = session.run(suffix.graph, bundle.parameters(), suffix.request);
    Shapes shapes;
    for (const Site& site : sites_)
      if (keys.contains(site.key)) shapes[site.name] = results[site.key].tensor.shape();
    return shapes;
  }

  const std::vector<Site>& sites_;
  double dropout_;
  Rng rng_;
  std::vector<Shapes> shapes_;
};

}  // namespace

LowRankFactors fresh_factors(const Site& site, std::int64_t rank, const Rng& rng) {
  const std::int64_t most = std::min(site.in, site.out);
  if (rank < 1 || rank > most)
    throw user_error("a low-rank path of rank {} does not fit the matrix of '{}' [{}, {}]; choose 1 to {}", rank,
                     site.name, site.out, site.in, most);
  LowRankFactors factors{Tensor::empty(DType::kF32, {rank, site.in}), Tensor::zeros(DType::kF32, {site.out, rank})};
  Rng draws = rng.fork(site.name);
  const double bound = 1 / std::sqrt(static_cast<double>(site.in));
  float* a = factors.a.mutable_data<float>();
  for (std::int64_t i = 0; i < factors.a.numel(); ++i) a[i] = static_cast<float>(draws.uniform(-bound, bound));
  return factors;
}

void LowRankOptions::validate() const {
  const auto require = [](bool holds, const char* name, const char* range, double value) {
    if (!holds) throw user_error("low-rank adapter: {} must be {}, got {}", name, range, value);
  };
  require(steps >= 0, "steps", "0 or more", static_cast<double>(steps));
  require(learning_rate >= 0 && std::isfinite(learning_rate), "learning_rate", "0 or more", learning_rate);
  require(weight_decay >= 0 && std::isfinite(weight_decay), "weight_decay", "0 or more", weight_decay);
  require(stop_loss >= 0, "stop_loss", "0 or more", stop_loss);
  require(dropout >= 0 && dropout < 1, "dropout", "at least 0 and below 1", dropout);
}

LowRankResult tune_low_rank(Session& session, const Bundle& bundle, const LossGraphs& paths,
                            const std::vector<Site>& sites, const std::vector<Lesson>& lessons, LowRankAdapter start,
                            const LowRankOptions& options, const Rng& rng, const StepObserver& observer) {
  options.validate();
  if (lessons.empty()) throw user_error("a low-rank adapter needs at least one lesson");
  if (sites.empty()) throw user_error("a low-rank adapter needs at least one site");
  LowRankResult result;
  result.adapter = start;
  if (options.steps == 0) return result;
  AdapterInTraining adapter(sites, start);
  std::vector<SuffixRequest> requests = gradient_requests(session, bundle, paths, lessons, adapter.names());
  const PathMasks masks(session, bundle, sites, lessons, options.dropout, rng.fork("dropout"));
  masks.announce(requests);
  Adam adam({.learning_rate = options.learning_rate, .weight_decay = options.weight_decay});
  for (std::int64_t step = 0; step < options.steps; ++step) {
    adapter.feed(session, requests);
    masks.feed(session, requests, step);
    GradientSums gradients;
    const double loss = evaluate(session, bundle, requests, gradients);
    if (!std::isfinite(loss))
      throw failure("low-rank adapter: the loss at step {} is not finite; lower learning_rate ({})", step + 1,
                    options.learning_rate);
    result.losses.push_back(loss);
    if (observer) observer({"low-rank adapter", step + 1, options.steps, loss});
    if (loss < options.stop_loss) break;
    adam.step(adapter.masters(), gradients, session.pool());
    ++result.updates;
  }
  result.adapter = adapter.adapter();
  return result;
}

}  // namespace retune
