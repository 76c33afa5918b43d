#include "graph/model_functions.h"

#include <google/protobuf/unknown_field_set.h>

#include <algorithm>
#include <vector>

#include "tensor/error.h"
#include "weights/external_data.h"

namespace retune {

namespace {

constexpr std::int64_t kMaxNodes = 1'000'000;
constexpr std::size_t kMaxBytes = std::size_t{256} << 20;
// Calls within calls. Recursion is found by name; this bounds the stack of what is merely deep.
constexpr int kMaxDepth = 128;

// Fields that are younger than the protocol Debian compiles in; protobuf keeps them as unknown ones.
constexpr int kNodeOverload = 8, kFunctionOverload = 13, kFunctionDefaults = 11;

template <class Proto>
std::vector<std::string> young_fields(const Proto& proto, int number) {
  std::vector<std::string> found;
  const google::protobuf::UnknownFieldSet& fields = proto.unknown_fields();
  for (int i = 0; i < fields.field_count(); ++i)
    if (fields.field(i).number() == number &&
        fields.field(i).type() == google::protobuf::UnknownField::TYPE_LENGTH_DELIMITED)
      found.push_back(fields.field(i).length_delimited());
  return found;
}

template <class Proto>
std::string overload_of(const Proto& proto, int number) {
  const std::vector<std::string> found = young_fields(proto, number);
  return found.empty() ? std::string() : found.back();
}

std::string plain_domain(const std::string& domain) { return domain == "ai.onnx" ? std::string() : domain; }

}  // namespace

// Where nodes are copied from and how their names are read there. The outermost one renames nothing.
struct ModelFunctions::Call {
  const onnx::FunctionProto* function = nullptr;
  std::string prefix{};
  std::map<std::string, std::string> arguments{};  // formal to actual
  std::map<std::string, onnx::AttributeProto> attributes{};

  std::string actual(const std::string& name) const {
    if (function == nullptr || name.empty()) return name;
    const auto found = arguments.find(name);
    return found == arguments.end() ? prefix + name : found->second;
  }
};

ModelFunctions::ModelFunctions(const onnx::ModelProto& model, std::string label) : label_(std::move(label)) {
  for (const auto& function : model.functions()) {
    Key key{plain_domain(function.domain()), function.name(), overload_of(function, kFunctionOverload)};
    if (!functions_.emplace(key, &function).second)
      throw user_error("{}: function '{}' of domain '{}' is there twice", label_, printable(function.name()),
                       printable(function.domain()));
  }
}

const onnx::FunctionProto* ModelFunctions::called_by(const onnx::NodeProto& node) const {
  const auto found = functions_.find({plain_domain(node.domain()), node.op_type(), overload_of(node, kNodeOverload)});
  return found == functions_.end() ? nullptr : found->second;
}

ModelFunctions::Extent ModelFunctions::measure(const Nodes& nodes) {
  Extent all;
  for (const auto& node : nodes) {
    Extent one{.nodes = 1};
    if (const onnx::FunctionProto* called = called_by(node)) one = measure(*called);
    for (const auto& attribute : node.attribute()) {
      if (!attribute.has_g()) continue;
      const Extent inside = measure(attribute.g().node());
      one = {one.nodes + inside.nodes, std::max(one.depth, inside.depth)};
    }
    all = {all.nodes + one.nodes, std::max(all.depth, one.depth)};
    if (all.nodes > kMaxNodes)
      throw user_error("{}: with its functions the model has more than {} nodes", label_, kMaxNodes);
    if (all.depth > kMaxDepth) throw user_error("{}: functions are nested deeper than {}", label_, kMaxDepth);
  }
  return all;
}

ModelFunctions::Extent ModelFunctions::measure(const onnx::FunctionProto& function) {
  const auto [known, is_new] = extents_.emplace(&function, std::nullopt);
  if (!is_new && known->second) return *known->second;
  if (!is_new)
    throw user_error("{}: function '{}' of domain '{}' calls itself", label_, printable(function.name()),
                     printable(function.domain()));
  if (++measuring_ > kMaxDepth) throw user_error("{}: functions are nested deeper than {}", label_, kMaxDepth);
  Extent extent = measure(function.node());
  --measuring_;
  extent.nodes += function.output_size();  // those that are passed on
  ++extent.depth;
  extents_[&function] = extent;
  return extent;
}

onnx::GraphProto ModelFunctions::inlined(const onnx::GraphProto& graph) {
  measure(graph.node());
  onnx::GraphProto result;
  expand(graph, {}, result);
  return result;
}

const onnx::FunctionProto* ModelFunctions::home(const onnx::NodeProto& node) const {
  const auto found = homes_.find(&node);
  return found == homes_.end() ? nullptr : found->second;
}

void ModelFunctions::expand(const onnx::GraphProto& graph, const Call& call, onnx::GraphProto& result) {
  result.set_name(graph.name());
  for (const auto& [from, to] :
       {std::pair{&graph.input(), result.mutable_input()}, std::pair{&graph.output(), result.mutable_output()}})
    for (const auto& value : *from) {
      *to->Add() = value;
      to->rbegin()->set_name(call.actual(value.name()));
    }
  for (const auto& tensor : graph.initializer()) {
    *result.add_initializer() = tensor;
    result.mutable_initializer()->rbegin()->set_name(call.actual(tensor.name()));
  }
  for (const auto& node : graph.node()) add(node, call, result);
}

// A copy of `node` with the names and attributes that it has in this call, or what it calls.
void ModelFunctions::add(const onnx::NodeProto& node, const Call& call, onnx::GraphProto& result) {
  onnx::NodeProto copy;
  copy.set_op_type(node.op_type());
  copy.set_domain(node.domain());
  if (!node.name().empty()) copy.set_name(call.prefix + node.name());
  for (const auto& name : node.input()) copy.add_input(call.actual(name));
  for (const auto& name : node.output()) copy.add_output(call.actual(name));
  for (const auto& attribute : node.attribute()) {
    if (!attribute.ref_attr_name().empty()) {
      const auto given = call.attributes.find(attribute.ref_attr_name());
      if (given == call.attributes.end()) continue;  // absent in the call and without a default: absent here
      *copy.add_attribute() = given->second;
      copy.mutable_attribute()->rbegin()->set_name(attribute.name());
    } else if (attribute.has_g()) {
      onnx::AttributeProto& made = *copy.add_attribute();
      made.set_name(attribute.name());
      made.set_type(attribute.type());
      expand(attribute.g(), call, *made.mutable_g());
    } else {
      *copy.add_attribute() = attribute;
    }
  }
  // Nodes were counted; what they are called and given by their calls was not.
  if ((bytes_ += copy.ByteSizeLong()) > kMaxBytes)
    throw user_error("{}: with its functions the model has more than {} MB", label_, kMaxBytes >> 20);
  if (const onnx::FunctionProto* called = called_by(node)) return enter(*called, copy, result);
  onnx::NodeProto& placed = *result.add_node();
  placed.Swap(&copy);
  if (call.function != nullptr) homes_[&placed] = call.function;
}

void ModelFunctions::enter(const onnx::FunctionProto& function, const onnx::NodeProto& node, onnx::GraphProto& result) {
  if (node.input_size() > function.input_size() || node.output_size() > function.output_size())
    throw user_error("{}: a call of function '{}' has {} inputs and {} outputs, the function {} and {}", label_,
                     printable(function.name()), node.input_size(), node.output_size(), function.input_size(),
                     function.output_size());
  const std::string called = !node.name().empty()     ? node.name()
                             : node.output_size() > 0 ? node.output(0)
                                                      : function.name();
  Call call{.function = &function, .prefix = fmt::format("{}:{}/", called, ++calls_)};
  for (const std::string& bytes : young_fields(function, kFunctionDefaults)) {
    onnx::AttributeProto standard;
    if (!standard.ParseFromString(bytes))
      throw user_error("{}: function '{}' has a default that is not an attribute", label_, printable(function.name()));
    call.attributes[standard.name()] = standard;
  }
  for (const auto& attribute : node.attribute()) call.attributes[attribute.name()] = attribute;
  for (int i = 0; i < function.input_size(); ++i)
    call.arguments[function.input(i)] = i < node.input_size() ? node.input(i) : std::string();
  for (int i = 0; i < function.output_size(); ++i) {
    const std::string& formal = function.output(i);
    const std::string actual = i < node.output_size() ? node.output(i) : std::string();
    if (actual.empty()) continue;
    // An output that is an input, or an output twice, is passed on.
    const auto [known, is_new] = call.arguments.emplace(formal, actual);
    if (is_new) continue;
    onnx::NodeProto& pass = *result.add_node();
    pass.set_op_type("Identity");
    pass.add_input(known->second);
    pass.add_output(actual);
  }
  for (const auto& inner : function.node()) add(inner, call, result);
}

}  // namespace retune
