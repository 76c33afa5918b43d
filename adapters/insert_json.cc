#include "adapters/insert_json.h"

#include "tensor/error.h"
#include "weights/external_data.h"

namespace retune {

namespace {

using Json = nlohmann::ordered_json;

struct AttributeJson {
  Json operator()(std::int64_t v) const { return {{"i", v}}; }
  Json operator()(double v) const { return {{"f", v}}; }
  Json operator()(const std::string& v) const { return {{"s", v}}; }
  Json operator()(const std::vector<std::int64_t>& v) const { return {{"ints", v}}; }
  Json operator()(const std::vector<double>& v) const { return {{"floats", v}}; }
  Json operator()(const std::vector<std::string>& v) const { return {{"strings", v}}; }
  Json operator()(const Tensor&) const { throw std::logic_error("an insert with a tensor for an attribute"); }
  Json operator()(const std::shared_ptr<const Graph>&) const { throw std::logic_error("an insert with a subgraph"); }
};

AttributeValue attribute_from(const Json& json) {
  if (!json.is_object() || json.size() != 1) throw user_error("an attribute of an insert is not an object of one key");
  const std::string& kind = json.begin().key();
  const Json& value = json.begin().value();
  if (kind == "i") return value.get<std::int64_t>();
  if (kind == "f") return value.get<double>();
  if (kind == "s") return value.get<std::string>();
  if (kind == "ints") return value.get<std::vector<std::int64_t>>();
  if (kind == "floats") return value.get<std::vector<double>>();
  if (kind == "strings") return value.get<std::vector<std::string>>();
  throw user_error("an insert's attribute of kind '{}', which this version does not know", printable(kind));
}

Json names_of(const Graph& body, const std::vector<ValueId>& ids) {
  Json names = Json::array();
  for (const ValueId id : ids) names.push_back(id == kNoValue ? std::string() : body.value(id).name);
  return names;
}

void add_node(Graph& body, const Json& json, int opset) {
  Node node{.op = json.at("op").get<std::string>(), .version = opset};
  for (const Json& input : json.at("inputs")) {
    const auto name = input.get<std::string>();
    const ValueId id = name.empty() ? kNoValue : body.find(name);
    if (id == kNoValue && !name.empty())
      throw user_error("an insert's {} node reads '{}', which nothing before it gives", printable(node.op),
                       printable(name));
    node.inputs.push_back(id);
  }
  for (const auto& [name, value] : json.at("attributes").items()) node.attributes.set(name, attribute_from(value));
  const auto outputs = json.at("outputs").get<std::vector<std::string>>();
  if (!outputs.empty()) node.name = outputs.front();
  body.add_node(std::move(node), outputs);
}

}  // namespace

Json insert_json(const GraphInsert& insert) {
  const Graph& body = *insert.body;
  Json tensors = Json::array();
  for (const Value& value : body.values())
    if (value.kind == ValueKind::kConstant) tensors.push_back(value.name);
  Json nodes = Json::array();
  for (const Node& node : body.nodes()) {
    Json attributes = Json::object();
    for (const auto& [name, content] : node.attributes.items()) attributes[name] = std::visit(AttributeJson{}, content);
    nodes.push_back({{"op", node.op},
                     {"inputs", names_of(body, node.inputs)},
                     {"outputs", names_of(body, node.outputs)},
                     {"attributes", std::move(attributes)}});
  }
  Json replaces = Json::object();
  for (std::size_t i = 0; i < insert.replaces.size(); ++i)
    replaces[insert.replaces[i]] = body.value(body.outputs[i]).name;
  return {{"name", insert.name},
          {"file", insert.file},
          {"per_call", insert.per_call},
          {"opset", body.nodes().front().version},
          {"taps", names_of(body, body.inputs)},
          {"own", insert.own},
          {"tensors", std::move(tensors)},
          {"nodes", std::move(nodes)},
          {"replaces", std::move(replaces)}};
}

std::vector<Tensor> insert_tensors(const GraphInsert& insert) {
  std::vector<Tensor> tensors;
  for (const Value& value : insert.body->values())
    if (value.kind == ValueKind::kConstant) tensors.push_back(value.constant);
  return tensors;
}

GraphInsert insert_from(const Json& json, const std::function<Tensor(std::size_t index)>& tensor_at) {
  Graph body;
  const auto opset = json.at("opset").get<int>();
  for (const Json& tap : json.at("taps")) body.add_input(tap.get<std::string>(), DType::kUndefined);
  std::size_t index = 0;
  for (const Json& name : json.at("tensors")) body.add_constant(tensor_at(index++), name.get<std::string>());
  for (const Json& node : json.at("nodes")) add_node(body, node, opset);
  GraphInsert insert;
  insert.name = json.at("name").get<std::string>();
  insert.file = json.at("file").get<std::string>();
  insert.per_call = json.at("per_call").get<bool>();
  for (const auto& [input, value] : json.at("own").items()) insert.own[input] = value.get<std::string>();
  for (const auto& [replaced, value] : json.at("replaces").items()) {
    insert.replaces.push_back(replaced);
    body.outputs.push_back(body.require(value.get<std::string>()));
  }
  insert.body = std::make_shared<const Graph>(std::move(body));
  check(insert);
  return insert;
}

}  // namespace retune
