// A computation as values and the nodes that make them: what an ONNX file says, what linking several files gives, and,
// once it is specialised to concrete shapes, what is differentiated and run.
//
// Values are of four kinds. An input is fed by each request. A parameter is a tensor of a model file: its bytes
// are supplied at run time (see Parameters), so that an edit or an optimiser step needs no new plan. A constant is
// baked in (integers, scalars, Constant nodes): it steers shapes and patterns. Everything else is computed by exactly
// one node.
//
//   Graph g;
//   ValueId x = g.add_input("x", DType::kF32, {{-1, "batch"}, {4, ""}});
//   ValueId y = g.add_node({.op = "Relu", .inputs = {x}}, {"y"})[0];
//   g.outputs.push_back(y);
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "tensor/content_hash.h"
#include "tensor/tensor.h"

namespace retune {

class Graph;

using ValueId = std::int32_t;
inline constexpr ValueId kNoValue = -1;  // an optional input that is absent, an output that nobody named

// One extent as a file declares it: a number, or -1 with a symbol (which may be any text, e.g. "past_sequence_length +
// 1").
struct Dim {
  std::int64_t extent = -1;
  std::string symbol;
};

enum class ValueKind : std::uint8_t { kInput, kParameter, kConstant, kComputed };

struct Value {
  std::string name;  // unique in its graph; empty for values that only emitted nodes use
  ValueKind kind = ValueKind::kComputed;
  DType dtype = DType::kUndefined;  // kUndefined until known
  std::optional<Shape> shape;       // concrete extents; always there in a specialised graph
  std::vector<Dim> declared;        // inputs and outputs of files: extents as declared
  Tensor constant;                  // kConstant only
  std::string file;                 // kParameter and kConstant from a file: which, and the initializer's name there
  std::string initializer;
  std::int32_t producer = -1;  // index into nodes(), for kComputed
};

using AttributeValue = std::variant<std::int64_t, double, std::string, std::vector<std::int64_t>, std::vector<double>,
                                    std::vector<std::string>, Tensor, std::shared_ptr<const Graph>>;

// Attributes of a node by name. Getters throw a user error when the attribute has another type.
class Attributes {
 public:
  Attributes() = default;
  Attributes(std::initializer_list<std::pair<const std::string, AttributeValue>> items) : items_(items) {}

  bool has(std::string_view name) const { return items_.find(name) != items_.end(); }
  void set(std::string name, AttributeValue value) { items_.insert_or_assign(std::move(name), std::move(value)); }
  std::int64_t i(std::string_view name, std::int64_t fallback) const;
  double f(std::string_view name, double fallback) const;
  std::string s(std::string_view name, std::string_view fallback) const;
  std::vector<std::int64_t> ints(std::string_view name, std::vector<std::int64_t> fallback = {}) const;
  std::vector<double> floats(std::string_view name, std::vector<double> fallback = {}) const;
  std::optional<Tensor> tensor(std::string_view name) const;
  std::shared_ptr<const Graph> graph(std::string_view name) const;  // null if absent
  const std::map<std::string, AttributeValue, std::less<>>& items() const { return items_; }

 private:
  std::map<std::string, AttributeValue, std::less<>> items_;
};

inline constexpr int kEmittedOpset = 17;  // the standard operator set of nodes that Retune itself makes

struct Node {
  std::string domain{};  // "" is ONNX's own; "com.microsoft"; "retune" for private operators (never exported)
  std::string op;
  int version = kEmittedOpset;  // of the operator set that the node's file imports for its domain
  std::string name{};           // a label for messages
  std::string file{};           // where it came from; empty for emitted nodes
  std::vector<ValueId> inputs{};
  std::vector<ValueId> outputs{};
  Attributes attributes{};
  // "MatMul node '/model/layers.0/mlp/down_proj/MatMul' in decoder.onnx"
  std::string text() const;
};

class Graph {
 public:
  std::string name;
  std::vector<ValueId> inputs;   // in the file's order
  std::vector<ValueId> outputs;  // in the file's order
  // Subgraphs of If, Loop and Scan only: names of outer values that are used inside, each also an input value here.
  std::vector<std::string> captured;

  ValueId add_input(std::string value_name, DType dtype, std::vector<Dim> declared = {});
  ValueId add_parameter(std::string value_name, DType dtype, Shape shape, std::string file, std::string initializer);
  ValueId add_constant(Tensor tensor, std::string value_name = {});
  // Appends a node and its output values (names may be empty). Nodes stand in topological order: inputs must exist
  // already.
  std::vector<ValueId> add_node(Node node, const std::vector<std::string>& output_names);

  // Puts another node in the place of node `index`. Its outputs must be those of the old one that are still read, in
  // its own order; `extra_outputs` new unnamed values follow them. Inputs must be computed by earlier nodes.
  void replace_node(std::size_t index, Node node, int extra_outputs);

  // Takes back what was appended since there were so many values and nodes.
  void cut_back(std::size_t value_count, std::size_t node_count);

  // Renames; throws a user error if another value has the name.
  void rename(ValueId id, std::string value_name);

  const Value& value(ValueId id) const { return values_[static_cast<std::size_t>(id)]; }
  Value& value(ValueId id) { return values_[static_cast<std::size_t>(id)]; }
  const std::vector<Value>& values() const { return values_; }
  const std::vector<Node>& nodes() const { return nodes_; }
  Node& node(std::size_t index) { return nodes_[index]; }
  // The node that computes the value; null for inputs, parameters, constants.
  const Node* producer(ValueId id) const;
  // kNoValue if there is none of that name.
  ValueId find(std::string_view value_name) const;
  // As find, but a user error that names the nearest existing names.
  ValueId require(std::string_view value_name) const;
  // For each value, the indices of the nodes that read it (once per reading node).
  std::vector<std::vector<std::int32_t>> consumers() const;

  // Identifies the computation: operators, attributes, wiring, names of inputs, outputs and parameters. Values of
  // parameters are not part of it; constants are. Cheap enough to call once per graph, not once per run: keep it.
  ContentHash structure_hash() const;

 private:
  ValueId add_value(Value value);

  std::vector<Value> values_;
  std::vector<Node> nodes_;
  std::unordered_map<std::string, ValueId> by_name_;
};

}  // namespace retune
