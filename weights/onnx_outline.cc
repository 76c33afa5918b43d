#include "weights/onnx_outline.h"

#include "tensor/error.h"

namespace retune {

namespace {

// Field numbers of onnx.proto.
constexpr std::uint32_t kModelGraph = 7, kModelMetadata = 14, kGraphNode = 1, kGraphInitializer = 5, kNodeOutput = 2,
                        kEntryKey = 1;

class Outliner {
 public:
  Outliner(Bytes file, const std::string& label) : file_(file), label_(label) {}

  GraphOutline run() {
    bool found = false;
    FieldReader fields(file_, {0, file_.size()}, label_);
    for (WireField field; fields.next(field);) {
      if (field.type != WireType::kLength) continue;
      if (field.number == kModelGraph) {
        found = true;
        graph(field);
      } else if (field.number == kModelMetadata) {
        outline_.metadata.push_back({text_in(field.body, kEntryKey), field.whole});
      }
    }
    if (!found) throw user_error("{} is not an ONNX model: it holds no graph", label_);
    return std::move(outline_);
  }

 private:
  void graph(const WireField& graph) {
    outline_.length = length_of(graph);
    outline_.body = graph.body;
    FieldReader fields(file_, graph.body, label_);
    for (WireField field; fields.next(field);) {
      if (field.type != WireType::kLength) continue;
      if (field.number == kGraphNode) node(field);
      if (field.number == kGraphInitializer)
        outline_.initializers.push_back({text_in(field.body, TensorField::kName), field.whole});
    }
  }

  void node(const WireField& node) {
    NodeOutline outline{node.whole, length_of(node), node.body, {}};
    FieldReader fields(file_, node.body, label_);
    for (WireField field; fields.next(field);)
      if (field.number == kNodeOutput && field.type == WireType::kLength)
        outline.outputs.push_back({text(field.body), field.whole});
    outline_.nodes.push_back(std::move(outline));
  }

  // The varint between tag and body.
  Span length_of(const WireField& field) const {
    std::uint64_t at = field.whole.begin;
    while ((static_cast<unsigned>(file_[at]) & 0x80u) != 0) ++at;
    return {at + 1, field.body.begin};
  }

  std::string text(Span span) const {
    return {reinterpret_cast<const char*>(file_.data()) + span.begin, static_cast<std::size_t>(span.size())};
  }

  // The text field `number` of the message in `body`; the last one counts, as for protobuf.
  std::string text_in(Span body, std::uint32_t number) const {
    std::string result;
    FieldReader fields(file_, body, label_);
    for (WireField field; fields.next(field);)
      if (field.number == number && field.type == WireType::kLength) result = text(field.body);
    return result;
  }

  Bytes file_;
  const std::string& label_;
  GraphOutline outline_;
};

}  // namespace

GraphOutline outline_of(Bytes file, const std::string& label) { return Outliner(file, label).run(); }

}  // namespace retune
