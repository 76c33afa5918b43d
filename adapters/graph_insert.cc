#include "adapters/graph_insert.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <set>

#include "adapters/patch_text.h"
#include "graph/op_registry.h"
#include "tensor/error.h"
#include "weights/external_data.h"

namespace retune {

namespace {

constexpr std::size_t kMaxNodes = 10'000;
constexpr std::size_t kMaxName = 100;

bool is_name(const std::string& name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("._-:/").find(c) != std::string_view::npos;
  };
  return !name.empty() && name.size() <= kMaxName && std::all_of(name.begin(), name.end(), fits) &&
         name.front() != '/' && name.back() != '/' && name.find("//") == std::string::npos;
}

// Of messages: which insert, and the reason.
template <class... Args>
Error unsound(const GraphInsert& insert, fmt::format_string<Args...> format, Args&&... args) {
  return user_error("insert '{}': {}", printable(insert.name), fmt::format(format, std::forward<Args>(args)...));
}

struct CheckAttribute {
  const GraphInsert& insert;
  const Node& node;
  const std::string& name;
  void operator()(std::int64_t) const {}
  void operator()(const std::vector<std::int64_t>&) const {}
  void operator()(double value) const {
    if (!std::isfinite(value))
      throw unsound(insert, "attribute '{}' of {} is not finite", printable(name), node.text());
  }
  void operator()(const std::vector<double>& values) const {
    for (const double value : values) (*this)(value);
  }
  void operator()(const std::string& text) const { check_patch_text(text, "insert's attribute"); }
  void operator()(const std::vector<std::string>& texts) const {
    for (const std::string& text : texts) (*this)(text);
  }
  void operator()(const Tensor&) const {
    throw unsound(insert, "attribute '{}' of {} is a tensor; tensors are constants of the body", printable(name),
                  node.text());
  }
  void operator()(const std::shared_ptr<const Graph>&) const {
    throw unsound(insert, "attribute '{}' of {} is a subgraph, which an insert may not have", printable(name),
                  node.text());
  }
};

void check_nodes(const GraphInsert& insert) {
  const Graph& body = *insert.body;
  if (body.nodes().size() > kMaxNodes)
    throw unsound(insert, "{} nodes, at most {} are added", body.nodes().size(), kMaxNodes);
  for (const Node& node : body.nodes()) {
    check_patch_text(node.op, "insert's operator");
    if (!node.domain.empty())
      throw unsound(insert, "{} is of domain '{}'; only standard ONNX operators are added", node.text(),
                    printable(node.domain));
    if (node.version != body.nodes().front().version)
      throw unsound(insert, "operator sets {} and {} in one body", body.nodes().front().version, node.version);
    if (node.outputs.empty() || std::count(node.outputs.begin(), node.outputs.end(), kNoValue) > 0)
      throw unsound(insert, "{} has an output without a value", node.text());
    OpRegistry::standard().require(node);
    for (const auto& [name, content] : node.attributes.items()) {
      check_patch_text(name, "insert's attribute");
      std::visit(CheckAttribute{insert, node, name}, content);
    }
  }
}

void check_values(const GraphInsert& insert) {
  const Graph& body = *insert.body;
  for (const Value& value : body.values()) {
    check_patch_text(value.name, "insert's value");
    if (value.name.empty()) throw unsound(insert, "a value of the body has no name");
    if (value.kind == ValueKind::kParameter)
      throw unsound(insert, "'{}' is a parameter; tensors are constants of the body", printable(value.name));
    if (value.kind == ValueKind::kConstant && is_narrow(value.constant.dtype()))
      throw unsound(insert, "the tensor '{}' is of type {}", printable(value.name), dtype_name(value.constant.dtype()));
  }
  if (body.outputs.empty()) throw unsound(insert, "it replaces nothing");
  if (body.outputs.size() != insert.replaces.size())
    throw unsound(insert, "{} outputs for {} values to replace", body.outputs.size(), insert.replaces.size());
  std::set<ValueId> outputs;
  for (const ValueId id : body.outputs)
    if (body.value(id).kind != ValueKind::kComputed || !outputs.insert(id).second)
      throw unsound(insert, "the output '{}' is not computed by a node of its own", printable(body.value(id).name));
  for (const auto& [input, value] : insert.own) {
    check_patch_text(value, "insert's value");
    const auto is_it = [&](ValueId id) { return body.value(id).name == input; };
    if (std::none_of(body.inputs.begin(), body.inputs.end(), is_it))
      throw unsound(insert, "'{}' is no input of the body", printable(input));
  }
  std::set<std::string> replaced;
  for (const std::string& name : insert.replaces) {
    check_patch_text(name, "insert's value");
    if (name.empty() || !replaced.insert(name).second)
      throw unsound(insert, "the value '{}' is replaced twice", printable(name));
  }
}

struct HashAttribute {
  Hasher& hasher;
  void operator()(std::int64_t v) const { hasher.add("i").add(v); }
  void operator()(double v) const { hasher.add("f").add(std::bit_cast<std::int64_t>(v)); }
  void operator()(const std::string& v) const { hasher.add("s").add(v); }
  template <class T>
  void operator()(const std::vector<T>& v) const {
    hasher.add("list").add(static_cast<std::int64_t>(v.size()));
    for (const T& item : v) (*this)(item);
  }
  void operator()(const Tensor&) const {}                        // check() refuses it
  void operator()(const std::shared_ptr<const Graph>&) const {}  // likewise
};

}  // namespace

void check(const GraphInsert& insert) {
  if (!is_name(insert.name))
    throw user_error(
        "the insert's name '{}' is not 1 to {} letters, digits, '.', '_', '-' and ':' with '/' between parts",
        printable(insert.name), kMaxName);
  check_patch_text(insert.file, "insert's file");
  if (insert.file.empty() || !insert.body) throw unsound(insert, "it names no file or has no body");
  check_values(insert);
  check_nodes(insert);
}

ContentHash hash_of(const GraphInsert& insert) {
  const Graph& body = *insert.body;
  const auto size = [](const auto& list) { return static_cast<std::int64_t>(list.size()); };
  const auto name = [&](ValueId id) { return id == kNoValue ? std::string() : body.value(id).name; };
  Hasher hasher;
  hasher.add("retune insert").add(insert.name).add(insert.file).add(insert.per_call ? 1 : 0);
  hasher.add(size(body.inputs));
  for (const ValueId id : body.inputs) hasher.add(name(id));
  for (const Value& value : body.values()) {
    if (value.kind != ValueKind::kConstant) continue;
    hasher.add(value.name).add(dtype_name(value.constant.dtype())).add(value.constant.shape().rank());
    for (const std::int64_t extent : value.constant.shape()) hasher.add(extent);
    hasher.raw({value.constant.raw(), value.constant.bytes()});
  }
  hasher.add(size(body.nodes()));
  for (const Node& node : body.nodes()) {
    hasher.add(node.op).add(node.version).add(size(node.inputs));
    for (const ValueId id : node.inputs) hasher.add(name(id));
    hasher.add(size(node.outputs));
    for (const ValueId id : node.outputs) hasher.add(name(id));
    hasher.add(size(node.attributes.items()));
    for (const auto& [attribute, content] : node.attributes.items()) {
      hasher.add(attribute);
      std::visit(HashAttribute{hasher}, content);
    }
  }
  hasher.add(size(body.outputs));
  for (std::size_t i = 0; i < body.outputs.size(); ++i) hasher.add(name(body.outputs[i])).add(insert.replaces[i]);
  hasher.add(size(insert.own));
  for (const auto& [input, value] : insert.own) hasher.add(input).add(value);
  return hasher.finish();
}

std::int64_t stored_bytes(const GraphInsert& insert) {
  std::int64_t bytes = 0;
  for (const Value& value : insert.body->values())
    if (value.kind == ValueKind::kConstant) bytes += static_cast<std::int64_t>(value.constant.bytes());
  return bytes;
}

}  // namespace retune
