#include "learning/ke_network.h"

#include <algorithm>
#include <cmath>

#include "graph/graph_builder.h"
#include "tensor/error.h"

namespace retune {

namespace {

using Values = std::map<std::string, ValueId>;
constexpr auto kSwap = GraphBuilder::Swap::kLastTwo;
constexpr auto kNone = GraphBuilder::Swap::kNone;

std::string own(std::size_t site, const std::string& what) { return fmt::format("site.{}.{}", site, what); }

std::int64_t integer(const HyperState& state, const char* option) {
  return static_cast<std::int64_t>(state.options.at(option));
}

struct Widths {
  std::int64_t vocabulary, embedding, lstm, condition, hidden;
};

std::map<std::string, Shape> parameter_shapes(const HyperState& state, const Shape& embeddings) {
  const Widths w{embeddings[0], embeddings[1], integer(state, "lstm_width"), integer(state, "condition_width"),
                 integer(state, "hidden_width")};
  std::map<std::string, Shape> shapes{
      {"embeddings", {w.vocabulary, w.embedding}},     {"lstm.input", {2, w.embedding, 4 * w.lstm}},
      {"lstm.hidden", {2, w.lstm, 4 * w.lstm}},        {"lstm.bias", {2, 1, 4 * w.lstm}},
      {"condition.weight", {w.condition, 2 * w.lstm}}, {"condition.bias", {w.condition}}};
  for (std::size_t i = 0; i < state.sites.size(); ++i) {
    const std::int64_t heads = 2 * (state.sites[i].in + state.sites[i].out) + 1;
    shapes[own(i, "v1.direction")] = {w.hidden, w.condition};
    shapes[own(i, "v1.length")] = {w.hidden, 1};
    shapes[own(i, "v1.bias")] = {w.hidden};
    shapes[own(i, "v2.direction")] = {heads, w.hidden};
    shapes[own(i, "v2.length")] = {heads, 1};
    shapes[own(i, "v2.bias")] = {heads};
  }
  return shapes;
}

Shape embedding_shape(const HyperState& state) {
  const auto found = state.parameters.find("embeddings");
  if (found == state.parameters.end() || found->second.shape().rank() != 2)
    throw user_error("the hyper-network lacks its parameter 'embeddings' [tokens, width]");
  return found->second.shape();
}

Tensor uniform(const Shape& shape, double bound, Rng rng) {
  Tensor tensor = Tensor::empty(DType::kF32, shape);
  for (std::int64_t i = 0; i < tensor.numel(); ++i)
    tensor.mutable_data<float>()[i] = static_cast<float>(rng.uniform(-bound, bound));
  return tensor;
}

// [rows, 1]: so that the weight is the direction at first.
Tensor row_lengths(const Tensor& matrix) {
  const std::int64_t rows = matrix.shape()[0], columns = matrix.shape()[1];
  Tensor lengths = Tensor::empty(DType::kF32, {rows, 1});
  for (std::int64_t r = 0; r < rows; ++r) {
    double sum = 0;
    for (std::int64_t c = 0; c < columns; ++c)
      sum += std::pow(static_cast<double>(matrix.data<float>()[r * columns + c]), 2);
    lengths.mutable_data<float>()[r] = static_cast<float>(std::sqrt(sum));
  }
  return lengths;
}

HyperState initial(HyperOptions options, std::vector<HyperSite> sites, const std::function<Tensor()>& embeddings,
                   const Rng& rng) {
  HyperState state{std::move(options), std::move(sites), {{"embeddings", embeddings().copy()}}, {}};
  // Each bound is 1 / sqrt(width of what the layer reads).
  const auto bound_of = [&](const std::string& name) {
    const char* width = name.starts_with("lstm")               ? "lstm_width"
                        : name.find("v1") != std::string::npos ? "condition_width"
                                                               : "hidden_width";
    return 1 / std::sqrt(name.starts_with("condition") ? 2 * state.options.at("lstm_width") : state.options.at(width));
  };
  for (const auto& [name, shape] : parameter_shapes(state, embedding_shape(state)))
    if (name != "embeddings" && !name.ends_with(".length"))
      state.parameters[name] = uniform(shape, bound_of(name), rng.fork(name));
  for (std::size_t i = 0; i < state.sites.size(); ++i)
    for (const char* layer : {"v1", "v2"})
      state.parameters[own(i, layer) + ".length"] = row_lengths(state.parameters.at(own(i, layer) + ".direction"));
  return state;
}

// One step of both directions, (h, c, z) -> (h', c') with h, c [2, 1, H] and z [2, 1, 4 H] the input's share of the
// gates i, f, o, n (Hochreiter & Schmidhuber 1997; Gers 2000):
//   c' = sigmoid(f) c + sigmoid(i) tanh(n),  h' = sigmoid(o) tanh(c')
std::shared_ptr<const Graph> cell(std::int64_t width) {
  Graph graph;
  graph.name = "cell";
  GraphBuilder b(graph);
  const ValueId h = graph.add_input("h", DType::kF32), c = graph.add_input("c", DType::kF32);
  const ValueId z = graph.add_input("z", DType::kF32);
  const ValueId weight = graph.add_input("lstm.hidden", DType::kF32);
  graph.captured = {"lstm.hidden"};
  const ValueId gates = b.add(z, b.matmul(h, weight));
  const Attributes last{{"axis", std::int64_t{-1}}};
  const auto parts = b.ops("", "Split", {gates, b.ints({3 * width, width})}, last, {"", ""});
  const auto open =
      b.ops("", "Split", {b.op("Sigmoid", {parts[0]}), b.ints({width, width, width})}, last, {"", "", ""});
  const ValueId next_c = b.add(b.mul(open[1], c), b.mul(open[0], b.op("Tanh", {parts[1]})));
  const ValueId next_h = b.mul(open[2], b.op("Tanh", {next_c}));
  graph.outputs = {next_h, next_c};
  return std::make_shared<const Graph>(std::move(graph));
}

// x [1, k] times the rows of a weight-normalised matrix (Salimans & Kingma 2016), [1, rows].
ValueId normed_linear(GraphBuilder& b, ValueId x, const std::string& layer, const Values& parameters) {
  const ValueId direction = parameters.at(layer + ".direction");
  const ValueId squares =
      b.op("ReduceSum", {b.mul(direction, direction), b.ints({1})}, {{"keepdims", std::int64_t{1}}});
  const ValueId weight = b.mul(direction, b.div(parameters.at(layer + ".length"), b.op("Sqrt", {squares})));
  return b.add(b.matmul(x, weight, kNone, kSwap), parameters.at(layer + ".bias"));
}

// [1, condition_width], of "ids" [2, tokens]: the second row is the first from back to front.
ValueId append_condition(GraphBuilder& b, ValueId ids, std::int64_t width, const Values& parameters) {
  const ValueId embedded = b.op("Gather", {parameters.at("embeddings"), ids});
  const ValueId read = b.add(b.matmul(embedded, parameters.at("lstm.input")), parameters.at("lstm.bias"));
  const ValueId by_token = b.op("Transpose", {read}, {{"perm", std::vector<std::int64_t>{1, 0, 2}}});
  const ValueId rows = b.op("Unsqueeze", {by_token, b.ints({2})});
  const ValueId start = b.constant(Tensor::zeros(DType::kF32, {2, 1, width}));
  const auto last =
      b.ops("", "Scan", {start, start, rows, parameters.at("lstm.hidden")},
            {{"body", std::shared_ptr<const Graph>(cell(width))}, {"num_scan_inputs", std::int64_t{1}}}, {"", ""});
  const ValueId joined = b.reshape(last[0], {1, 2 * width});
  const ValueId linear = b.matmul(joined, parameters.at("condition.weight"), kNone, kSwap);
  return b.op("Tanh", {b.add(linear, parameters.at("condition.bias"))}, {}, "condition");
}

class Ke : public HyperNetwork {
 public:
  explicit Ke(HyperState state) : HyperNetwork(std::move(state)) {
    for (const char* name : {"lstm_width", "condition_width", "hidden_width", "kappa"}) option(name);
    shapes_ = parameter_shapes(state_, embedding_shape(state_));
    feeds(shapes_);
    graph_ = build();
  }

  std::vector<Change> changes(Session& session, const EditSignal& signal) const override {
    Request request = request_for(signal);
    for (std::size_t i = 0; i < state_.sites.size(); ++i) request.outputs.push_back(own(i, "change"));
    const Results results = session.run(graph_, feeds(shapes_), request);
    std::vector<Change> changes;
    for (std::size_t i = 0; i < state_.sites.size(); ++i) {
      const Tensor change = results[own(i, "change")].tensor;
      for (const float value : change.values<float>())
        if (!std::isfinite(value)) throw failure("ke: the change of '{}' is not finite", state_.sites[i].name);
      changes.push_back({DenseDelta{change}, signal.factors[i].inputs.shape()[0]});
    }
    return changes;
  }

  std::map<std::string, Tensor> pull_back(Session& session, const EditSignal& signal,
                                          std::span<const Tensor> weight_gradients) const override {
    Request request = request_for(signal);
    for (std::size_t i = 0; i < state_.sites.size(); ++i)
      request.inputs[own(i, "weight_gradient")] = {weight_gradients[i]};
    request.loss = "agreement";
    for (const auto& [name, tensor] : state_.parameters) request.wrt.push_back(name);
    const Results results = session.run(graph_, feeds(shapes_), request);
    std::map<std::string, Tensor> gradients;
    for (const std::string& name : request.wrt) gradients[name] = results["grad:" + name].tensor;
    return gradients;
  }

 private:
  Request request_for(const EditSignal& signal) const {
    check_signal(signal);
    const Shape embeddings = embedding_shape(state_);
    std::vector<std::int64_t> ids = signal.ids;
    for (const std::int64_t id : ids)
      if (id < 0 || id >= embeddings[0])
        throw user_error("ke: the edit has the token {}, the network knows {}; it is of another model", id,
                         embeddings[0]);
    ids.insert(ids.end(), signal.ids.rbegin(), signal.ids.rend());
    Request request;
    request.inputs["ids"] = {Tensor::of<std::int64_t>({2, static_cast<std::int64_t>(signal.ids.size())}, ids)};
    for (std::size_t i = 0; i < state_.sites.size(); ++i) {
      request.inputs[own(i, "inputs")] = {signal.factors[i].inputs};
      request.inputs[own(i, "gradients")] = {signal.factors[i].gradients};
    }
    return request;
  }

  // The change of each site, and the agreement of the changes with given gradients.
  std::shared_ptr<const Graph> build() const {
    Graph graph;
    GraphBuilder b(graph);
    Values parameters;
    for (const auto& [name, shape] : shapes_)
      parameters[name] = graph.add_parameter(name, DType::kF32, shape, "", name);
    const ValueId ids = graph.add_input("ids", DType::kI64, {{2, ""}, {-1, "ids"}});
    const ValueId condition = append_condition(b, ids, integer(state_, "lstm_width"), parameters);
    ValueId total = kNoValue;
    for (std::size_t i = 0; i < state_.sites.size(); ++i) {
      const ValueId change = append_change(b, condition, i, parameters);
      const HyperSite& site = state_.sites[i];
      const ValueId seed = graph.add_input(own(i, "weight_gradient"), DType::kF32, {{site.out, ""}, {site.in, ""}});
      const ValueId term = b.op("ReduceSum", {b.mul(change, seed)}, {{"keepdims", std::int64_t{0}}});
      total = total == kNoValue ? term : b.add(total, term);
    }
    b.op("Identity", {total}, {}, "agreement");
    return std::make_shared<const Graph>(std::move(graph));
  }

  ValueId append_change(GraphBuilder& b, ValueId condition, std::size_t index, const Values& parameters) const {
    const HyperSite& site = state_.sites[index];
    Graph& graph = b.graph();
    const ValueId x = graph.add_input(own(index, "inputs"), DType::kF32, {{-1, "tokens"}, {site.in, ""}});
    const ValueId g = graph.add_input(own(index, "gradients"), DType::kF32, {{-1, "tokens"}, {site.out, ""}});
    const ValueId gradient = b.matmul(g, x, kSwap, kNone);
    const ValueId hidden = b.op("Tanh", {normed_linear(b, condition, own(index, "v1"), parameters)});
    const auto heads = b.ops(
        "", "Split",
        {normed_linear(b, hidden, own(index, "v2"), parameters), b.ints({site.in, site.out, site.in, site.out, 1})},
        {{"axis", std::int64_t{1}}}, {"", "", "", "", ""});
    const auto outer = [&](ValueId rho, ValueId gamma) {
      return b.matmul(b.op("Softmax", {rho}, {{"axis", std::int64_t{1}}}), gamma, kSwap, kNone);
    };
    const ValueId both = b.add(b.mul(outer(heads[1], heads[0]), gradient), outer(heads[3], heads[2]));
    const ValueId strength = b.mul(b.op("Sigmoid", {heads[4]}), option("kappa"));
    return b.op("Mul", {both, strength}, {}, own(index, "change"));
  }

  std::map<std::string, Shape> shapes_;
  std::shared_ptr<const Graph> graph_;
};

std::unique_ptr<HyperNetwork> make(HyperState state) { return std::make_unique<Ke>(std::move(state)); }

}  // namespace

HyperNetworkKind ke_network_kind() {
  using enum HyperOption::Type;
  HyperNetworkKind kind;
  kind.word = "ke";
  kind.summary = "reads the edit, and scales and shifts the gradient of each matrix";
  kind.options = {{"lstm_width", kInteger, 512, 1, 1e5, "of each direction of the LSTM"},
                  {"condition_width", kInteger, 768, 1, 1e5, "of what is known of the edit"},
                  {"hidden_width", kInteger, 512, 1, 1e5, "between it and the vectors of each matrix"},
                  {"kappa", kNumber, 1, 0, 1e9, "what the change is multiplied by"}};
  kind.optimizer = HyperNetworkKind::Optimizer::kRmsProp;
  kind.learning_rate = 3e-4;
  kind.initial = initial;
  kind.make = make;
  return kind;
}

}  // namespace retune
