#include "graph/import.h"

#include <algorithm>
#include <limits>
#include <set>

#include "graph/model_functions.h"
#include "tensor/error.h"
#include "weights/external_data.h"

namespace retune {

namespace {

constexpr int kMaxNodes = 1'000'000;
constexpr int kMaxNesting = 32;
// The newest operator set whose backend tests Retune is measured with. What a newer one means is not known.
constexpr std::int64_t kNewestOpset = 28;

void add_outer_names(const onnx::NodeProto& node, std::set<std::string>& names);

// Names that a subgraph reads and does not itself make: it takes them from the graphs around it.
std::set<std::string> outer_names(const onnx::GraphProto& graph) {
  std::set<std::string> names;
  for (const auto& node : graph.node()) {
    names.insert(node.input().begin(), node.input().end());
    add_outer_names(node, names);
  }
  for (const auto& output : graph.output()) names.insert(output.name());
  for (const auto& node : graph.node())
    for (const auto& output : node.output()) names.erase(output);
  for (const auto& input : graph.input()) names.erase(input.name());
  for (const auto& tensor : graph.initializer()) names.erase(tensor.name());
  return names;
}

void add_outer_names(const onnx::NodeProto& node, std::set<std::string>& names) {
  for (const auto& attribute : node.attribute())
    if (attribute.has_g()) names.merge(outer_names(attribute.g()));
}

// What must exist before the node: its inputs, then what its subgraphs take from around them.
std::vector<std::string> names_read(const onnx::NodeProto& node) {
  std::vector<std::string> names(node.input().begin(), node.input().end());
  std::set<std::string> captured;
  add_outer_names(node, captured);
  names.insert(names.end(), captured.begin(), captured.end());
  return names;
}

// Names of outer values that a subgraph may use, innermost scope last.
using Scopes = std::vector<const std::unordered_map<std::string, DType>*>;

// Names of float tensors that say how large something becomes: they steer shapes as integers do.
void add_names_of_scales(const onnx::GraphProto& graph, std::set<std::string>& names) {
  for (const auto& node : graph.node()) {
    if (node.op_type() == "Resize" || node.op_type() == "Upsample")
      for (int i = 1; i < std::min(node.input_size(), 3); ++i) names.insert(node.input(i));
    for (const auto& attribute : node.attribute())
      if (attribute.has_g()) add_names_of_scales(attribute.g(), names);
  }
}

class Importer {
 public:
  Importer(const OnnxModel& model, std::string file)
      : model_(model), file_(std::move(file)), functions_(model.skeleton(), file_) {
    versions_[nullptr];
    for (const auto& import : model.skeleton().opset_import())
      add_opset(versions_[nullptr], domain(import.domain()), import.version());
    for (const auto& function : model.skeleton().functions()) {
      Versions& versions = versions_[&function];
      for (const auto& import : function.opset_import()) add_opset(versions, domain(import.domain()), import.version());
    }
  }

  Graph run() {
    onnx::GraphProto inlined;
    if (!functions_.empty()) inlined = functions_.inlined(model_.skeleton().graph());
    const onnx::GraphProto& plain = functions_.empty() ? model_.skeleton().graph() : inlined;
    add_names_of_scales(plain, scales_);
    return import_graph(plain, {}, 0);
  }

 private:
  static std::string domain(const std::string& text) { return text == "ai.onnx" ? std::string() : text; }

  // What a node is called in messages: an unnamed one by what it makes.
  static const std::string& label(const onnx::NodeProto& node) {
    return node.name().empty() && node.output_size() > 0 ? node.output(0) : node.name();
  }

  // Names come from the file: they may be long, or hold what a terminal takes for commands.
  [[noreturn]] void fail(const std::string& message) const {
    throw user_error("{}: {}", file_, printable(message, 1000));
  }

  using Versions = std::map<std::string, int>;  // of operator sets, by domain

  void add_opset(Versions& versions, const std::string& domain, std::int64_t version) const {
    // Private operators trust that the planner made them.
    if (domain == "retune") fail("domain 'retune' is that of Retune's own operators, which no file may use");
    const std::string name = domain.empty() ? "ai.onnx" : domain;
    const std::int64_t newest = domain.empty() ? kNewestOpset : std::int64_t{std::numeric_limits<int>::max()};
    if (version < 1 || version > newest)
      fail(fmt::format("operator set {} of domain '{}': expected 1 to {}; export the model for one of those", version,
                       name, newest));
    const auto [known, is_new] = versions.emplace(domain, static_cast<int>(version));
    if (!is_new && known->second != version)
      fail(fmt::format("domain '{}' is imported twice, as operator sets {} and {}", name, known->second, version));
  }

  Graph import_graph(const onnx::GraphProto& proto, const Scopes& scopes, int depth) {
    if (depth > kMaxNesting) fail(fmt::format("graphs are nested deeper than {}", kMaxNesting));
    Graph graph;
    graph.name = proto.name();
    std::set<std::string> initialized;
    for (const auto& tensor : proto.initializer()) initialized.insert(tensor.name());
    for (const auto& input : proto.input())
      if (!initialized.contains(input.name())) add_input(graph, input, depth);
    for (const auto& tensor : proto.initializer()) add_initializer(graph, tensor, tensor.name());
    std::unordered_map<std::string, DType> own;
    for (const auto& node : proto.node())
      for (const auto& output : node.output()) own.emplace(output, DType::kUndefined);
    for (const Value& value : graph.values()) own.emplace(value.name, value.dtype);
    Scopes inner = scopes;
    inner.push_back(&own);
    for (const int index : sorted(proto, graph, scopes)) add_node(graph, proto.node(index), inner, depth);
    for (const auto& output : proto.output()) add_output(graph, output, scopes);
    return graph;
  }

  static std::vector<Dim> dims_of(const onnx::ValueInfoProto& info) {
    std::vector<Dim> dims;
    for (const auto& dim : info.type().tensor_type().shape().dim())
      dims.push_back(dim.has_dim_value() ? Dim{dim.dim_value(), ""} : Dim{-1, dim.dim_param()});
    return dims;
  }

  void add_input(Graph& graph, const onnx::ValueInfoProto& input, int depth) {
    // Inputs of a Loop's or Scan's body need not say their type.
    const bool typed = input.has_type() && input.type().value_case() != onnx::TypeProto::VALUE_NOT_SET;
    // Within the model sequences are resolved while planning.
    if (typed && !input.type().has_tensor_type() && depth == 0)
      fail(fmt::format("input '{}' is a sequence, a map or optional, which is not supported", input.name()));
    const ValueId id = graph.add_input(input.name(), static_cast<DType>(input.type().tensor_type().elem_type()));
    graph.value(id).declared = dims_of(input);
  }

  void add_output(Graph& graph, const onnx::ValueInfoProto& output, const Scopes& scopes) {
    ValueId id = graph.find(output.name());
    if (id == kNoValue) id = capture(graph, output.name(), scopes);
    if (id == kNoValue)
      fail(fmt::format("output '{}' of graph '{}' is produced by no node", output.name(), graph.name));
    graph.value(id).declared = dims_of(output);
    if (graph.value(id).dtype == DType::kUndefined)
      graph.value(id).dtype = static_cast<DType>(output.type().tensor_type().elem_type());
    graph.outputs.push_back(id);
  }

  // Float tensors and codes of quantised ones are parameters, whose bytes stay in the file; other integers, scalars and
  // scales steer shapes and patterns, so they are constants.
  void add_initializer(Graph& graph, const onnx::TensorProto& proto, const std::string& name) {
    const auto dtype = static_cast<DType>(proto.data_type());
    std::int64_t elements = 1;
    for (const std::int64_t dim : proto.dims()) elements = dim == 0 ? 0 : std::max<std::int64_t>(elements, dim);
    const bool is_code = is_narrow(dtype) || dtype == DType::kU8 || dtype == DType::kI8;
    if ((is_float(dtype) || is_code) && elements > 1 && !scales_.contains(name)) {
      graph.add_parameter(name, dtype, Shape(std::vector<std::int64_t>(proto.dims().begin(), proto.dims().end())),
                          file_, name);
    } else {
      const ValueId id = graph.add_constant(model_.tensor(proto), name);
      graph.value(id).file = file_;
      graph.value(id).initializer = name;
    }
  }

  // A value of an outer graph becomes an input of the subgraph, once.
  ValueId capture(Graph& graph, const std::string& name, const Scopes& scopes) const {
    for (auto scope = scopes.rbegin(); scope != scopes.rend(); ++scope) {
      const auto it = (*scope)->find(name);
      if (it == (*scope)->end()) continue;
      graph.captured.push_back(name);
      return graph.add_input(name, it->second);
    }
    return kNoValue;
  }

  // Node indices with producers before consumers, otherwise in the file's order.
  std::vector<int> sorted(const onnx::GraphProto& proto, const Graph& graph, const Scopes& scopes) const {
    if (proto.node_size() > kMaxNodes) fail(fmt::format("graph '{}' has more than {} nodes", proto.name(), kMaxNodes));
    std::unordered_map<std::string, int> producer;
    for (int i = 0; i < proto.node_size(); ++i)
      for (const auto& output : proto.node(i).output())
        if (!output.empty() && !producer.emplace(output, i).second)
          fail(fmt::format("value '{}' is produced by two nodes", output));
    enum class Mark : std::uint8_t { kNew, kOpen, kDone };
    struct Visit {
      int index;
      std::vector<std::string> names;
      std::size_t next = 0;
    };
    std::vector<Mark> marks(static_cast<std::size_t>(proto.node_size()), Mark::kNew);
    std::vector<int> order;
    for (int root = 0; root < proto.node_size(); ++root) {
      std::vector<Visit> stack;
      if (marks[static_cast<std::size_t>(root)] == Mark::kNew) stack.push_back({root, names_read(proto.node(root))});
      while (!stack.empty()) {
        auto& [index, names, next] = stack.back();
        Mark& mark = marks[static_cast<std::size_t>(index)];
        if (mark == Mark::kDone) {
          stack.pop_back();
          continue;
        }
        mark = Mark::kOpen;
        const auto& node = proto.node(index);
        if (next == names.size()) {
          mark = Mark::kDone;
          order.push_back(index);
          stack.pop_back();
          continue;
        }
        const bool captured = next >= static_cast<std::size_t>(node.input_size());
        const std::string input = names[next++];
        const auto it = producer.find(input);
        if (it == producer.end()) {
          if (!captured) check_exists(input, node, graph, scopes);  // the subgraph looks at what it captures
          continue;
        }
        const Mark other = marks[static_cast<std::size_t>(it->second)];
        if (other == Mark::kOpen) fail(fmt::format("graph '{}' has a cycle through value '{}'", proto.name(), input));
        if (other == Mark::kNew) stack.push_back({it->second, names_read(proto.node(it->second))});
      }
    }
    return order;
  }

  void check_exists(const std::string& input, const onnx::NodeProto& node, const Graph& graph,
                    const Scopes& scopes) const {
    if (input.empty() || graph.find(input) != kNoValue) return;
    for (const auto* scope : scopes)
      if (scope->contains(input)) return;
    fail(fmt::format("{} node '{}' reads '{}', which no node produces", node.op_type(), label(node), input));
  }

  void add_node(Graph& graph, const onnx::NodeProto& proto, const Scopes& scopes, int depth) {
    if (proto.op_type() == "Constant" && domain(proto.domain()).empty() && add_constant_node(graph, proto)) return;
    Node node{.domain = domain(proto.domain()), .op = proto.op_type()};
    node.name = label(proto);
    node.file = file_;
    const Versions& versions = versions_.at(functions_.home(proto));
    const auto version = versions.find(node.domain);
    if (version == versions.end())
      fail(fmt::format("{} node '{}': domain '{}' is not imported", node.op, node.name, node.domain));
    node.version = version->second;
    const Scopes outer(scopes.begin(), scopes.end() - 1);
    const auto resolve = [&](const std::string& name) {
      const ValueId id = graph.find(name);
      return id != kNoValue ? id : capture(graph, name, outer);
    };
    for (const auto& input : proto.input()) node.inputs.push_back(input.empty() ? kNoValue : resolve(input));
    for (const auto& attribute : proto.attribute()) {
      node.attributes.set(attribute.name(), attribute_value(attribute, node, scopes, depth));
    }
    // What branches capture is read by this node: then_branch first, as specialize() expects, else_branch after it.
    for (const char* branch : {"then_branch", "else_branch", "body"})
      if (const auto sub = node.attributes.has(branch) ? node.attributes.graph(branch) : nullptr)
        for (const std::string& name : sub->captured) node.inputs.push_back(resolve(name));
    std::vector<std::string> outputs(proto.output().begin(), proto.output().end());
    const std::vector<ValueId> ids = graph.add_node(std::move(node), outputs);
    for (std::size_t i = 0; i < ids.size(); ++i)
      if (outputs[i].empty()) graph.node(graph.nodes().size() - 1).outputs[i] = kNoValue;
  }

  // A Constant node that holds a tensor is a leaf like an initializer, under the name of its output.
  bool add_constant_node(Graph& graph, const onnx::NodeProto& proto) {
    if (proto.output_size() != 1 || proto.attribute_size() != 1) return false;
    const auto& attribute = proto.attribute(0);
    const std::string& name = proto.output(0);
    if (attribute.name() == "value" && !attribute.has_t()) return false;  // attribute_value() refuses it
    if (attribute.name() == "value")
      // What a function holds is no tensor of the file under this name.
      functions_.home(proto) == nullptr ? add_initializer(graph, attribute.t(), name)
                                        : void(graph.add_constant(model_.tensor(attribute.t()), name));
    else if (attribute.name() == "value_float")
      graph.add_constant(Tensor::scalar<float>(attribute.f()), name);
    else if (attribute.name() == "value_int")
      graph.add_constant(Tensor::scalar<std::int64_t>(attribute.i()), name);
    else if (attribute.name() == "value_ints")
      graph.add_constant(Tensor::vector<std::int64_t>({attribute.ints().begin(), attribute.ints().end()}), name);
    else if (attribute.name() == "value_floats")
      graph.add_constant(Tensor::vector<float>({attribute.floats().begin(), attribute.floats().end()}), name);
    else
      return false;
    return true;
  }

  AttributeValue attribute_value(const onnx::AttributeProto& a, const Node& node, const Scopes& scopes, int depth) {
    switch (a.type()) {
      case onnx::AttributeProto::INT:
        return a.i();
      case onnx::AttributeProto::FLOAT:
        return static_cast<double>(a.f());
      case onnx::AttributeProto::STRING:
        return a.s();
      case onnx::AttributeProto::INTS:
        return std::vector<std::int64_t>(a.ints().begin(), a.ints().end());
      case onnx::AttributeProto::FLOATS:
        return std::vector<double>(a.floats().begin(), a.floats().end());
      case onnx::AttributeProto::STRINGS:
        return std::vector<std::string>(a.strings().begin(), a.strings().end());
      case onnx::AttributeProto::TENSOR:
        if (!a.has_t())
          throw user_error("{}: attribute '{}' should hold a tensor but holds none", node.text(), printable(a.name()));
        return model_.tensor(a.t());
      case onnx::AttributeProto::GRAPH:
        return std::make_shared<const Graph>(import_graph(a.g(), scopes, depth + 1));
      default:
        throw user_error("{}: attribute '{}' is of a kind that is not supported", node.text(), a.name());
    }
  }

  const OnnxModel& model_;
  std::string file_;
  ModelFunctions functions_;
  std::map<const onnx::FunctionProto*, Versions> versions_;  // null: the model's own
  std::set<std::string> scales_;
};

void collect_parameters(const Graph& graph, const OnnxModel& model, Version file_version, Parameters& result) {
  for (const Value& value : graph.values()) {
    if (value.kind != ValueKind::kParameter) continue;
    const auto& protos = model.tensors_named(value.initializer);
    if (protos.empty()) throw user_error("{}: tensor '{}' is not in the file", value.file, value.initializer);
    for (const auto* other : protos)
      if (other != protos[0] && model.tensor_hash(*other) != model.tensor_hash(*protos[0]))
        throw user_error("{}: two different tensors are named '{}'", value.file, value.initializer);
    result[value.name] = {model.tensor(*protos[0]), combine(file_version, version_of(value.initializer))};
  }
  for (const Node& node : graph.nodes())
    for (const auto& [name, content] : node.attributes.items())
      if (const auto* sub = std::get_if<std::shared_ptr<const Graph>>(&content))
        collect_parameters(**sub, model, file_version, result);
}

}  // namespace

Graph import_onnx(const OnnxModel& model, const std::string& file) { return Importer(model, file).run(); }

Parameters parameters_of(const Graph& graph, const OnnxModel& model) {
  // Within one process a mapped file is identified by where it is and when it was written; hashing 15 GB to name it
  // would cost minutes.
  const auto path = std::filesystem::canonical(model.path());
  const auto written = std::filesystem::last_write_time(path).time_since_epoch().count();
  const Version file_version = version_of(fmt::format("{}\n{}\n{}", path.string(), written, model.file_bytes()));
  Parameters result;
  collect_parameters(graph, model, file_version, result);
  return result;
}

}  // namespace retune
