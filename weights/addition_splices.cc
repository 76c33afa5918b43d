#include "weights/addition_splices.h"

#include <map>
#include <set>
#include <unordered_map>

#include "tensor/error.h"
#include "weights/onnx_outline.h"

namespace retune {

namespace {

constexpr std::uint32_t kModelMetadata = 14, kGraphNode = 1, kGraphInitializer = 5, kNodeOutput = 2;
constexpr std::int64_t kOldestIr = 4;

// Tag and length of a length-delimited field.
std::string head_of(std::uint32_t field, std::uint64_t size) {
  std::string head;
  append_varint(head, (std::uint64_t{field} << 3) | static_cast<std::uint64_t>(WireType::kLength));
  append_varint(head, size);
  return head;
}

std::string field_of(std::uint32_t number, const std::string& content) {
  return head_of(number, content.size()) + content;
}

// A TensorProto up to its payload: the tag and length of the message, its other fields, the head of raw_data.
std::string initializer_head(const std::string& name, const Tensor& tensor) {
  onnx::TensorProto proto;
  for (const std::int64_t extent : tensor.shape()) proto.add_dims(extent);
  proto.set_data_type(static_cast<std::int32_t>(tensor.dtype()));
  proto.set_name(name);
  const std::string fields = proto.SerializeAsString() + head_of(kRawData, tensor.bytes());
  return head_of(kGraphInitializer, fields.size() + tensor.bytes()) + fields;
}

class Splicer {
 public:
  Splicer(const OnnxAddition& addition, const OnnxContents& source)
      : addition_(addition), source_(source), label_(source.file.string()), outline_(outline_of(file(), label_)) {
    result_.frames = source.layout.frames;
    for (std::size_t i = 0; i < result_.frames.size(); ++i)
      frame_at_.emplace(result_.frames[i].body.begin, static_cast<std::int32_t>(i));
    graph_ = frame_of(outline_.length, outline_.body, -1);
    for (const NodeOutline& node : outline_.nodes)
      for (const OutlineField& output : node.outputs)
        if (!output.name.empty()) node_of_.emplace(output.name, &node);
  }

  // In the order of the places in the file, where two are at the same place.
  AdditionSplices run() {
    if (source_.skeleton.ir_version() < kOldestIr)
      throw user_error("{}: nodes are added to models of IR version {} and later, this one has {}; export it again",
                       label_, kOldestIr, source_.skeleton.ir_version());
    rename_outputs();
    add_nodes();
    add_initializers();
    add_metadata();
    return std::move(result_);
  }

 private:
  Bytes file() const { return source_.map.bytes(); }

  // Of a message that grows: the layout has only those with a tensor inside.
  std::int32_t frame_of(Span length, Span body, std::int32_t parent) {
    const auto [known, is_new] = frame_at_.emplace(body.begin, static_cast<std::int32_t>(result_.frames.size()));
    if (is_new) result_.frames.push_back({length, body, parent});
    return known->second;
  }

  const NodeOutline& node_of(const std::string& output) const {
    const auto it = node_of_.find(output);
    if (it == node_of_.end())
      throw user_error("{}: no node of its main graph computes '{}'", label_, printable(output));
    return *it->second;
  }

  void splice(std::uint64_t at, std::uint64_t removed, std::string inserted, std::int32_t frame) {
    result_.copies.push_back(std::move(inserted));
    result_.splices.push_back({at, removed, {as_bytes(result_.copies.back())}, frame});
  }

  void rename_outputs() {
    for (const auto& [name, renamed] : addition_.renamed) {
      const NodeOutline& node = node_of(name);
      const std::int32_t frame = frame_of(node.length, node.body, graph_);
      for (const OutlineField& output : node.outputs)
        if (output.name == name) splice(output.whole.begin, output.whole.size(), field_of(kNodeOutput, renamed), frame);
    }
  }

  void add_nodes() {
    for (const OnnxAddition::Nodes& group : addition_.nodes) {
      if (outline_.nodes.empty()) throw user_error("{}: its main graph has no nodes", label_);
      const std::uint64_t at =
          group.after.empty() ? outline_.nodes.front().whole.begin : node_of(group.after).whole.end;
      std::string bytes;
      for (const onnx::NodeProto& node : group.nodes) bytes += field_of(kGraphNode, node.SerializeAsString());
      splice(at, 0, std::move(bytes), graph_);
    }
  }

  void add_initializers() {
    std::set<std::string> names;
    for (const OutlineField& initializer : outline_.initializers) names.insert(initializer.name);
    for (const auto& [name, tensor] : addition_.initializers) {
      if (!names.insert(name).second) throw user_error("{}: two initializers are named '{}'", label_, printable(name));
      splice(outline_.body.end, 0, initializer_head(name, tensor), graph_);
      result_.splices.back().inserted.emplace_back(tensor.raw(), tensor.bytes());
    }
  }

  void add_metadata() {
    for (const auto& [key, value] : addition_.metadata) {
      for (const OutlineField& entry : outline_.metadata)
        if (entry.name == key) splice(entry.whole.begin, entry.whole.size(), "", -1);
      onnx::StringStringEntryProto entry;
      entry.set_key(key);
      entry.set_value(value);
      splice(file().size(), 0, field_of(kModelMetadata, entry.SerializeAsString()), -1);
    }
  }

  const OnnxAddition& addition_;
  const OnnxContents& source_;
  std::string label_;
  GraphOutline outline_;
  AdditionSplices result_;
  std::unordered_map<std::uint64_t, std::int32_t> frame_at_;  // by the beginning of the body, which no two share
  std::unordered_map<std::string, const NodeOutline*> node_of_;
  std::int32_t graph_ = -1;
};

}  // namespace

AdditionSplices splices_of(const OnnxAddition& addition, const OnnxContents& source) {
  return Splicer(addition, source).run();
}

}  // namespace retune
