#include "lalm/insert_builder.h"

#include <algorithm>

#include "tensor/error.h"

namespace retune {

namespace {

// Where axes became an input (ONNX's Changelog.md).
constexpr int kAxesOfReduceSum = 13, kAxesOfReductions = 18, kAxesOfUnsqueeze = 13;

std::int64_t flag(bool on) { return on ? 1 : 0; }

}  // namespace

InsertBuilder::InsertBuilder(const Bundle& bundle, std::string name, const std::string& value) : bundle_(bundle) {
  const FileValue home = bundle.file_value(value);
  file_ = home.file;
  opset_ = bundle.opset_of(file_);
  body_.name = name;
  insert_.name = std::move(name);
  insert_.file = file_;
}

std::string InsertBuilder::name_in_file(const std::string& linked) const {
  FileValue value = bundle_.file_value(linked, file_);
  return std::move(value.name);
}

ValueId InsertBuilder::tap_as_stored(const std::string& linked) { return taps_of(linked).first; }
ValueId InsertBuilder::tap(const std::string& linked) { return taps_of(linked).second; }

std::pair<ValueId, ValueId> InsertBuilder::taps_of(const std::string& linked) {
  const std::string name = name_in_file(linked);
  const auto known = taps_.find(name);
  if (known != taps_.end()) return known->second;
  const ValueId stored = body_.add_input(name, DType::kUndefined);
  const ValueId wide = is_half(bundle_.float_type_of(file_, name)) ? cast(stored, DType::kF32) : stored;
  return taps_.emplace(name, std::pair{stored, wide}).first->second;
}

ValueId InsertBuilder::tap_own(const std::string& linked) {
  const std::string value = name_in_file(linked);
  for (const auto& [input, own] : insert_.own)
    if (own == value) return own_taps_.at(input);
  const std::string input = fresh("own");
  const ValueId stored = body_.add_input(input, DType::kUndefined);
  insert_.own[input] = value;
  const ValueId wide = is_half(bundle_.float_type_of(file_, value)) ? cast(stored, DType::kF32) : stored;
  return own_taps_[input] = wide;
}

std::string InsertBuilder::fresh(const std::string& label) const {
  std::string name = label;
  for (int number = 2; body_.find(name) != kNoValue; ++number) name = fmt::format("{}_{}", label, number);
  return name;
}

ValueId InsertBuilder::tensor(Tensor values, const std::string& label) {
  return body_.add_constant(std::move(values), fresh(label));
}

ValueId InsertBuilder::scalar(double value) {
  return tensor(Tensor::scalar<float>(static_cast<float>(value)), "scalar");
}

ValueId InsertBuilder::ints(const std::vector<std::int64_t>& list) {
  return tensor(Tensor::vector<std::int64_t>(list), "ints");
}

ValueId InsertBuilder::op(std::string_view op, std::vector<ValueId> inputs, Attributes attributes) {
  return ops(op, std::move(inputs), std::move(attributes), 1)[0];
}

std::vector<ValueId> InsertBuilder::ops(std::string_view op, std::vector<ValueId> inputs, Attributes attributes,
                                        int outputs) {
  std::vector<std::string> names;
  for (int i = 0; i < outputs; ++i)
    names.push_back(fmt::format("{}_{}{}", op, body_.nodes().size(), i == 0 ? "" : fmt::format("_{}", i)));
  for (std::string& name : names) name = fresh(name);
  Node node{.op = std::string(op), .version = opset_, .name = names.front()};
  node.inputs = std::move(inputs);
  node.attributes = std::move(attributes);
  return body_.add_node(std::move(node), names);
}

ValueId InsertBuilder::cast(ValueId x, DType type) {
  return op("Cast", {x}, {{"to", static_cast<std::int64_t>(type)}});
}

ValueId InsertBuilder::reduce(std::string_view name, ValueId x, const std::vector<std::int64_t>& axes, KeepDims keep) {
  const std::int64_t keepdims = flag(keep == KeepDims::kYes);
  if (opset_ >= (name == "ReduceSum" ? kAxesOfReduceSum : kAxesOfReductions))
    return op(name, {x, ints(axes)}, {{"keepdims", keepdims}});
  return op(name, {x}, {{"axes", axes}, {"keepdims", keepdims}});
}

ValueId InsertBuilder::unsqueeze(ValueId x, const std::vector<std::int64_t>& axes) {
  if (opset_ >= kAxesOfUnsqueeze) return op("Unsqueeze", {x, ints(axes)});
  return op("Unsqueeze", {x}, {{"axes", axes}});
}

ValueId InsertBuilder::squeeze(ValueId x, const std::vector<std::int64_t>& axes) {
  if (opset_ >= kAxesOfUnsqueeze) return op("Squeeze", {x, ints(axes)});
  return op("Squeeze", {x}, {{"axes", axes}});
}

ValueId InsertBuilder::extent(ValueId x, std::int64_t axis) {
  return op("Gather", {op("Shape", {x}), ints({axis})}, {{"axis", std::int64_t{0}}});
}

ValueId InsertBuilder::l2_norm(ValueId x) {
  // Not ReduceL2: runtimes differ in how they sum it.
  return op("Sqrt", {reduce("ReduceSum", op("Mul", {x, x}), {-1}, KeepDims::kYes)});
}

ValueId InsertBuilder::mean_positions(ValueId x) { return reduce("ReduceMean", x, {-2}, KeepDims::kYes); }

ValueId InsertBuilder::last_row(ValueId x) { return op("Gather", {x, ints({-1})}, {{"axis", std::int64_t{-2}}}); }

ValueId InsertBuilder::is_last_row(ValueId x) {
  // Over the rows, i64 [T]: Range wants scalars.
  const ValueId rows = squeeze(extent(x, -2), {0});
  const ValueId zero = tensor(Tensor::scalar<std::int64_t>(0), "zero"),
                one = tensor(Tensor::scalar<std::int64_t>(1), "one");
  const ValueId last = op("Sub", {rows, one});
  return unsqueeze(op("Equal", {op("Range", {zero, rows, one}), last}), {1});
}

ValueId InsertBuilder::past_length() {
  const auto& caches = bundle_.decoder().caches;
  const bool cached = !caches.empty() && bundle_.file_value(caches.front().past_key).file == file_;
  return cached ? extent(tap_as_stored(caches.front().past_key), 2) : ints({0});
}

ValueId InsertBuilder::is_first_call() { return op("Equal", {past_length(), ints({0})}); }

void InsertBuilder::replace(const std::string& linked, ValueId value) {
  const std::string name = name_in_file(linked);
  if (std::find(insert_.replaces.begin(), insert_.replaces.end(), name) != insert_.replaces.end())
    throw user_error("insert '{}': '{}' is replaced twice", insert_.name, linked);
  const DType type = bundle_.float_type_of(file_, name);
  const bool used = std::find(body_.outputs.begin(), body_.outputs.end(), value) != body_.outputs.end();
  if (is_half(type))
    value = cast(value, type);
  else if (used || body_.value(value).kind != ValueKind::kComputed)
    value = op("Identity", {value});  // an output is a node's own
  insert_.replaces.push_back(name);
  body_.outputs.push_back(value);
}

GraphInsert InsertBuilder::finish() {
  insert_.body = std::make_shared<const Graph>(std::move(body_));
  check(insert_);
  return std::move(insert_);
}

}  // namespace retune
