#include "learning/mend_network.h"

#include <algorithm>
#include <cmath>

#include "graph/graph_builder.h"
#include "tensor/error.h"

namespace retune {

namespace {

constexpr double kLeastDeviation = 1e-7;

std::string group_of(const HyperSite& site) { return fmt::format("group.{}x{}", site.out, site.in); }
std::string block_of(const HyperSite& site, std::int64_t block) {
  return fmt::format("{}.block{}", group_of(site), block);
}
std::string own(std::size_t site, const std::string& what) { return fmt::format("site.{}.{}", site, what); }
std::string scale_name(std::size_t site, std::int64_t block) { return own(site, fmt::format("block{}.scale", block)); }
std::string shift_name(std::size_t site, std::int64_t block) { return own(site, fmt::format("block{}.shift", block)); }

std::map<std::string, Shape> parameter_shapes(const HyperState& state) {
  const auto rank = static_cast<std::int64_t>(state.options.at("rank"));
  const auto blocks = static_cast<std::int64_t>(state.options.at("blocks"));
  std::map<std::string, Shape> shapes;
  for (std::size_t i = 0; i < state.sites.size(); ++i) {
    const HyperSite& site = state.sites[i];
    const std::int64_t width = site.in + site.out;
    for (std::int64_t block = 0; block < blocks; ++block) {
      shapes[block_of(site, block) + ".v"] = {std::min(rank, width), width};
      shapes[block_of(site, block) + ".u"] = {width, std::min(rank, width)};
      shapes[block_of(site, block) + ".b"] = {width};
      shapes[scale_name(i, block)] = {width};
      shapes[shift_name(i, block)] = {width};
    }
    shapes[own(i, "step")] = {};
  }
  return shapes;
}

Tensor filled(const Shape& shape, double value) {
  Tensor tensor = Tensor::empty(DType::kF32, shape);
  std::fill_n(tensor.mutable_data<float>(), tensor.numel(), static_cast<float>(value));
  return tensor;
}

HyperState initial(HyperOptions options, std::vector<HyperSite> sites, const std::function<Tensor()>&, const Rng& rng) {
  HyperState state{std::move(options), std::move(sites), {}, {}};
  for (const auto& [name, shape] : parameter_shapes(state)) {
    const bool one = name.ends_with(".scale");
    Tensor tensor = filled(shape, name.ends_with(".step") ? state.options.at("step") : one ? 1 : 0);
    if (name.ends_with(".v")) {
      Rng draw = rng.fork(name);
      for (std::int64_t k = 0; k < tensor.numel(); ++k)
        tensor.mutable_data<float>()[k] = static_cast<float>(draw.normal());
    }
    state.parameters[name] = std::move(tensor);
  }
  for (const HyperSite& site : state.sites) {
    state.statistics[group_of(site) + ".tokens"] = Tensor::scalar<std::int64_t>(0);
    for (const auto& [of, width] : {std::pair{".inputs", site.in}, {".gradients", site.out}}) {
      state.statistics[group_of(site) + of + ".mean"] = Tensor::zeros(DType::kF64, {width});
      state.statistics[group_of(site) + of + ".squares"] = Tensor::zeros(DType::kF64, {width});
    }
  }
  return state;
}

bool is_zero_row(const float* row, std::int64_t width) {
  return std::all_of(row, row + width, [](float value) { return value == 0.0f; });
}

// Without the tokens that say nothing.
GradientFactors kept_tokens(const GradientFactors& factors) {
  const std::int64_t n = factors.inputs.shape()[1], m = factors.gradients.shape()[1];
  const float* x = factors.inputs.data<float>();
  const float* g = factors.gradients.data<float>();
  std::vector<float> inputs, gradients;
  for (std::int64_t t = 0; t < factors.inputs.shape()[0]; ++t) {
    if (is_zero_row(x + t * n, n) || is_zero_row(g + t * m, m)) continue;
    inputs.insert(inputs.end(), x + t * n, x + (t + 1) * n);
    gradients.insert(gradients.end(), g + t * m, g + (t + 1) * m);
  }
  const auto tokens = static_cast<std::int64_t>(inputs.size()) / n;
  return {Tensor::of<float>({tokens, n}, inputs), Tensor::of<float>({tokens, m}, gradients)};
}

// Mean and sum of squared deviations of each dimension, a token at a time (Welford 1962).
void take_in(Tensor& mean, Tensor& squares, const Tensor& rows, std::int64_t seen) {
  const std::int64_t width = mean.numel();
  mean = mean.copy();
  squares = squares.copy();
  double* center = mean.mutable_data<double>();
  double* sum = squares.mutable_data<double>();
  for (std::int64_t t = 0; t < rows.shape()[0]; ++t)
    for (std::int64_t d = 0; d < width; ++d) {
      const auto value = static_cast<double>(rows.data<float>()[t * width + d]);
      const double before = value - center[d];
      center[d] += before / static_cast<double>(seen + t + 1);
      sum[d] += before * (value - center[d]);
    }
}

class Mend : public HyperNetwork {
 public:
  explicit Mend(HyperState state) : HyperNetwork(std::move(state)) {
    for (const char* name : {"rank", "blocks", "normalise", "step_rate_apart", "step_learning_rate", "reference_sign"})
      option(name);
    feeds(parameter_shapes(state_));
    for (const HyperSite& site : state_.sites) check_statistics(site);
    graph_ = build();
  }

  double rate_of(const std::string& parameter, double rate) const override {
    return parameter.ends_with(".step") && option("step_rate_apart") != 0 ? option("step_learning_rate") : rate;
  }

  void observe(const EditSignal& signal) override {
    check_signal(signal);
    for (std::size_t i = 0; i < state_.sites.size(); ++i) {
      const GradientFactors kept = kept_tokens(signal.factors[i]);
      const std::string group = group_of(state_.sites[i]);
      auto& statistics = state_.statistics;
      const std::int64_t seen = tokens_of(group);
      take_in(statistics.at(group + ".inputs.mean"), statistics.at(group + ".inputs.squares"), kept.inputs, seen);
      take_in(statistics.at(group + ".gradients.mean"), statistics.at(group + ".gradients.squares"), kept.gradients,
              seen);
      statistics.at(group + ".tokens") = Tensor::scalar<std::int64_t>(seen + kept.inputs.shape()[0]);
    }
  }

  std::vector<Change> changes(Session& session, const EditSignal& signal) const override {
    std::vector<std::int64_t> tokens;
    Request request = request_for(signal, tokens);
    for (std::size_t i = 0; i < state_.sites.size(); ++i) {
      request.outputs.push_back(own(i, "left"));
      request.outputs.push_back(own(i, "right"));
    }
    const Results results = session.run(graph_, feeds(parameter_shapes(state_)), request);
    std::vector<Change> changes;
    for (std::size_t i = 0; i < state_.sites.size(); ++i) {
      const HyperSite& site = state_.sites[i];
      if (tokens[i] == 0)
        changes.push_back({DenseDelta{Tensor::zeros(DType::kF32, {site.out, site.in})}, 0});
      else
        changes.push_back(
            {LowRankDelta{finite(results[own(i, "left")].tensor, site), finite(results[own(i, "right")].tensor, site)},
             tokens[i]});
    }
    return changes;
  }

  std::map<std::string, Tensor> pull_back(Session& session, const EditSignal& signal,
                                          std::span<const Tensor> weight_gradients) const override {
    std::vector<std::int64_t> tokens;
    Request request = request_for(signal, tokens);
    for (std::size_t i = 0; i < state_.sites.size(); ++i)
      request.inputs[own(i, "weight_gradient")] = {
          tokens[i] > 0 ? weight_gradients[i] : Tensor::zeros(DType::kF32, weight_gradients[i].shape())};
    request.loss = "agreement";
    for (const auto& [name, tensor] : state_.parameters) request.wrt.push_back(name);
    const Results results = session.run(graph_, feeds(parameter_shapes(state_)), request);
    std::map<std::string, Tensor> gradients;
    for (const std::string& name : request.wrt) gradients[name] = results["grad:" + name].tensor;
    return gradients;
  }

 private:
  std::int64_t tokens_of(const std::string& group) const {
    return state_.statistics.at(group + ".tokens").data<std::int64_t>()[0];
  }

  void check_statistics(const HyperSite& site) const {
    const auto check = [&](const std::string& name, DType type, std::int64_t count) {
      const auto found = state_.statistics.find(group_of(site) + name);
      if (found == state_.statistics.end() || found->second.dtype() != type || found->second.numel() != count)
        throw user_error("the hyper-network's statistics '{}{}' are missing or of another type or size", group_of(site),
                         name);
    };
    check(".tokens", DType::kI64, 1);
    for (const char* what : {".mean", ".squares"}) {
      check(std::string(".inputs") + what, DType::kF64, site.in);
      check(std::string(".gradients") + what, DType::kF64, site.out);
    }
  }

  static Tensor finite(const Tensor& tensor, const HyperSite& site) {
    for (const float value : tensor.values<float>())
      if (!std::isfinite(value)) throw failure("mend: the change of '{}' is not finite", site.name);
    return tensor;
  }

  Tensor normalised(const Tensor& rows, const std::string& group, const std::string& of) const {
    if (option("normalise") == 0) return rows;
    const std::int64_t seen = tokens_of(group);
    if (seen < 2)
      throw user_error("mend: the network has seen {} tokens of '{}'; it must be trained before it edits", seen, group);
    const double* mean = state_.statistics.at(group + of + ".mean").data<double>();
    const double* squares = state_.statistics.at(group + of + ".squares").data<double>();
    const std::int64_t width = rows.shape()[1];
    Tensor result = Tensor::empty(DType::kF32, rows.shape());
    for (std::int64_t i = 0; i < rows.numel(); ++i) {
      const std::int64_t d = i % width;
      const double deviation = std::sqrt(squares[d] / static_cast<double>(seen - 1)) + kLeastDeviation;
      result.mutable_data<float>()[i] =
          static_cast<float>((static_cast<double>(rows.data<float>()[i]) - mean[d]) / deviation);
    }
    return result;
  }

  // A site without tokens gets one row of zeros, which its caller gives no say.
  Request request_for(const EditSignal& signal, std::vector<std::int64_t>& tokens) const {
    check_signal(signal);
    Request request;
    for (std::size_t i = 0; i < state_.sites.size(); ++i) {
      GradientFactors kept = kept_tokens(signal.factors[i]);
      tokens.push_back(kept.inputs.shape()[0]);
      const HyperSite& site = state_.sites[i];
      if (tokens.back() == 0)
        kept = {Tensor::zeros(DType::kF32, {1, site.in}), Tensor::zeros(DType::kF32, {1, site.out})};
      request.inputs[own(i, "inputs")] = {normalised(kept.inputs, group_of(site), ".inputs")};
      request.inputs[own(i, "gradients")] = {normalised(kept.gradients, group_of(site), ".gradients")};
    }
    return request;
  }

  // left [out, tokens] and right [in, tokens] of each site, whose product is its change, and the agreement of the
  // changes with given gradients: <g~ x~^T, G> = sum over tokens of g~ . G x~, so no matrix a token is formed.
  std::shared_ptr<const Graph> build() const {
    Graph graph;
    GraphBuilder b(graph);
    std::map<std::string, ValueId> parameters;
    for (const auto& [name, shape] : parameter_shapes(state_))
      parameters[name] = graph.add_parameter(name, DType::kF32, shape, "", name);
    ValueId total = kNoValue;
    for (std::size_t i = 0; i < state_.sites.size(); ++i) {
      const HyperSite& site = state_.sites[i];
      const ValueId inputs = graph.add_input(own(i, "inputs"), DType::kF32, {{-1, "tokens"}, {site.in, ""}});
      const ValueId gradients = graph.add_input(own(i, "gradients"), DType::kF32, {{-1, "tokens"}, {site.out, ""}});
      const ValueId seed = graph.add_input(own(i, "weight_gradient"), DType::kF32, {{site.out, ""}, {site.in, ""}});
      ValueId q = b.op("Concat", {inputs, gradients}, {{"axis", std::int64_t{1}}});
      for (std::int64_t block = 0; block < static_cast<std::int64_t>(option("blocks")); ++block)
        q = append_block(b, q, i, block, parameters);
      const auto parts = b.ops("", "Split", {q, b.ints({site.in, site.out})}, {{"axis", std::int64_t{1}}}, {"", ""});
      const double sign = option("reference_sign") != 0 ? 1 : -1;
      const ValueId step = b.mul(parameters.at(own(i, "step")), b.scalar(sign, DType::kF32));
      const ValueId scaled = b.mul(parts[1], step);
      b.op("Transpose", {scaled}, {{"perm", std::vector<std::int64_t>{1, 0}}}, own(i, "left"));
      b.op("Transpose", {parts[0]}, {{"perm", std::vector<std::int64_t>{1, 0}}}, own(i, "right"));
      const ValueId moved = b.matmul(parts[0], seed, GraphBuilder::Swap::kNone, GraphBuilder::Swap::kLastTwo);
      const ValueId term = b.op("ReduceSum", {b.mul(scaled, moved)}, {{"keepdims", std::int64_t{0}}});
      total = total == kNoValue ? term : b.add(total, term);
    }
    b.op("Identity", {total}, {}, "agreement");
    return std::make_shared<const Graph>(std::move(graph));
  }

  // q + relu(s (U (V q) + b) + o)
  ValueId append_block(GraphBuilder& b, ValueId q, std::size_t site, std::int64_t block,
                       const std::map<std::string, ValueId>& parameters) const {
    const auto swap = GraphBuilder::Swap::kLastTwo;
    const auto none = GraphBuilder::Swap::kNone;
    const std::string shared = block_of(state_.sites[site], block);
    const ValueId low = b.matmul(q, parameters.at(shared + ".v"), none, swap);
    const ValueId high = b.add(b.matmul(low, parameters.at(shared + ".u"), none, swap), parameters.at(shared + ".b"));
    const ValueId moved =
        b.add(b.mul(high, parameters.at(scale_name(site, block))), parameters.at(shift_name(site, block)));
    return b.add(q, b.op("Clip", {moved, b.scalar(0, DType::kF32)}));
  }

  std::shared_ptr<const Graph> graph_;
};

std::unique_ptr<HyperNetwork> make(HyperState state) { return std::make_unique<Mend>(std::move(state)); }

}  // namespace

HyperNetworkKind mend_network_kind() {
  using enum HyperOption::Type;
  HyperNetworkKind kind;
  kind.word = "mend";
  kind.summary = "edits the factors of the gradient, token by token";
  kind.options = {
      {"rank", kInteger, 1920, 1, 1e5, "of the blocks; at most the width of both factors together"},
      {"blocks", kInteger, 2, 1, 16, "residual blocks one behind the other"},
      {"normalise", kBoolean, 1, 0, 1, "factors to mean 0 and deviation 1, as seen in training"},
      {"step", kNumber, 1e-4, -1e3, 1e3, "size of the step before training; each matrix learns its own"},
      {"step_rate_apart", kBoolean, 1, 0, 1,
       "train the sizes of the steps at their own rate; false: as the reference code in effect does, at the others'"},
      {"step_learning_rate", kNumber, 1e-4, 0, 1e3, "that rate"},
      {"reference_sign", kBoolean, 0, 0, 1, "add the step, as the reference code does, where the paper subtracts it"}};
  kind.optimizer = HyperNetworkKind::Optimizer::kAdam;
  kind.learning_rate = 1e-6;
  kind.initial = initial;
  kind.make = make;
  return kind;
}

}  // namespace retune
