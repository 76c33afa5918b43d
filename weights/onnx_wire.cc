#include "weights/onnx_wire.h"

#include <algorithm>
#include <array>
#include <optional>

#include "tensor/error.h"

namespace retune {

namespace {

// The messages of onnx.proto, as far as they nest. Those without a tensor inside are walked too, to count and bound
// them.
enum class Message : std::uint8_t {
  kModel,
  kTraining,
  kGraph,
  kNode,
  kAttribute,
  kTensor,
  kSparse,
  kFunction,
  kEntry,
  kOpset,
  kAnnotation,
  kValueInfo,
  kType,
  kTensorType,
  kContainer,
  kShape,
  kDim,
};

struct Child {
  Message parent;
  std::uint32_t field;
  Message child;
  bool repeated;
};

constexpr Child kChildren[] = {
    {Message::kModel, 7, Message::kGraph, false},        {Message::kModel, 8, Message::kOpset, true},
    {Message::kModel, 14, Message::kEntry, true},        {Message::kModel, 20, Message::kTraining, true},
    {Message::kModel, 25, Message::kFunction, true},     {Message::kTraining, 1, Message::kGraph, false},
    {Message::kTraining, 2, Message::kGraph, false},     {Message::kTraining, 3, Message::kEntry, true},
    {Message::kTraining, 4, Message::kEntry, true},      {Message::kGraph, 1, Message::kNode, true},
    {Message::kGraph, 5, Message::kTensor, true},        {Message::kGraph, 11, Message::kValueInfo, true},
    {Message::kGraph, 12, Message::kValueInfo, true},    {Message::kGraph, 13, Message::kValueInfo, true},
    {Message::kGraph, 14, Message::kAnnotation, true},   {Message::kGraph, 15, Message::kSparse, true},
    {Message::kGraph, 16, Message::kEntry, true},        {Message::kNode, 5, Message::kAttribute, true},
    {Message::kNode, 9, Message::kEntry, true},          {Message::kAttribute, 5, Message::kTensor, false},
    {Message::kAttribute, 6, Message::kGraph, false},    {Message::kAttribute, 10, Message::kTensor, true},
    {Message::kAttribute, 11, Message::kGraph, true},    {Message::kAttribute, 14, Message::kType, false},
    {Message::kAttribute, 15, Message::kType, true},     {Message::kAttribute, 22, Message::kSparse, false},
    {Message::kAttribute, 23, Message::kSparse, true},   {Message::kSparse, 1, Message::kTensor, false},
    {Message::kSparse, 2, Message::kTensor, false},      {Message::kFunction, 7, Message::kNode, true},
    {Message::kFunction, 9, Message::kOpset, true},      {Message::kFunction, 11, Message::kAttribute, true},
    {Message::kFunction, 12, Message::kValueInfo, true}, {Message::kFunction, 14, Message::kEntry, true},
    {Message::kAnnotation, 2, Message::kEntry, true},    {Message::kValueInfo, 2, Message::kType, false},
    {Message::kValueInfo, 4, Message::kEntry, true},     {Message::kType, 1, Message::kTensorType, false},
    {Message::kType, 4, Message::kContainer, false},     {Message::kType, 5, Message::kContainer, false},
    {Message::kType, 8, Message::kTensorType, false},    {Message::kType, 9, Message::kContainer, false},
    {Message::kContainer, 1, Message::kType, false},     {Message::kContainer, 2, Message::kType, false},
    {Message::kTensorType, 2, Message::kShape, false},   {Message::kShape, 1, Message::kDim, true},
};

const Child* find_child(Message parent, const WireField& field) {
  if (field.type != WireType::kLength) return nullptr;
  for (const Child& child : kChildren)
    if (child.parent == parent && child.field == field.number) return &child;
  return nullptr;
}

// external_data as it is being read; it counts only if data_location says so, which may come later.
struct External {
  ExternalRef ref;
  std::vector<std::string> keys;
  bool in_use = false;
};

// Collects frames and tensors of one file.
class Scanner {
 public:
  Scanner(Bytes file, const std::string& label) : file_(file), label_(label) {}

  OnnxLayout model() {
    message(Message::kModel, {0, file_.size()}, -1, 0);
    if (!has_graph_) throw user_error("{} is not an ONNX model: it holds no graph", label_);
    check_skeleton();
    return std::move(layout_);
  }

  OnnxLayout tensor() {
    tensor({0, file_.size()}, -1);
    return std::move(layout_);
  }

 private:
  void message(Message type, Span body, std::int32_t frame, int depth) {
    if (depth > kMaxMessageDepth)
      throw user_error("{} nests messages deeper than {} levels at byte {}", label_, kMaxMessageDepth, body.begin);
    if (type == Message::kTensor) return tensor(body, frame);
    FieldReader fields(file_, body, label_);
    std::uint32_t seen = 0;
    for (WireField field; fields.next(field);) {
      count_field();
      const Child* child = find_child(type, field);
      if (child == nullptr) continue;
      if (child->child == Message::kNode && ++nodes_ > kMaxNodeMessages)
        throw user_error("{} holds more than {} nodes", label_, kMaxNodeMessages);
      // Protobuf would merge the two; then a tensor could be spread over the file.
      const std::uint32_t bit = 1u << child->field;
      if (!child->repeated && (seen & bit) != 0)
        throw user_error("{} holds field {} twice in one message at byte {}", label_, field.number, field.whole.begin);
      seen |= bit;
      has_graph_ |= type == Message::kModel && child->child == Message::kGraph;
      descend(*child, field, frame, depth);
    }
  }

  // Frames of messages that turn out to hold no tensor are dropped again.
  void descend(const Child& child, const WireField& field, std::int32_t parent, int depth) {
    const std::size_t tensors = layout_.tensors.size();
    const std::size_t frames = layout_.frames.size();
    std::uint64_t length_begin = field.whole.begin;
    while ((static_cast<unsigned>(file_[length_begin]) & 0x80u) != 0) ++length_begin;  // behind the tag
    layout_.frames.push_back({{length_begin + 1, field.body.begin}, field.body, parent});
    message(child.child, field.body, static_cast<std::int32_t>(frames), depth + 1);
    if (layout_.tensors.size() == tensors) layout_.frames.resize(frames);
  }

  void tensor(Span body, std::int32_t frame);
  void dims(TensorRecord& record, const FieldReader& fields, const WireField& field);
  void payload(TensorRecord& record, const WireField& field);
  void external_entry(TensorRecord& record, External& external, const WireField& field);

  void count_field() {
    if (++fields_ > kMaxFields) throw user_error("{} holds more than {} fields", label_, kMaxFields);
  }

  std::string text(Span span) const {
    return {reinterpret_cast<const char*>(file_.data()) + span.begin, static_cast<std::size_t>(span.size())};
  }

  void check_skeleton() const {
    std::uint64_t payload = 0;
    for (const TensorRecord& record : layout_.tensors)
      for (const Span& span : record.storage) payload += span.size();
    if (file_.size() - payload > kMaxSkeletonBytes)
      throw user_error("{} holds {} bytes besides its tensors; at most {} are read", label_, file_.size() - payload,
                       kMaxSkeletonBytes);
  }

  Bytes file_;
  const std::string& label_;
  OnnxLayout layout_;
  std::uint64_t fields_ = 0;
  std::uint64_t nodes_ = 0;
  bool has_graph_ = false;
};

// How one value of a payload field stands outside of a packed run; byte strings have no such form.
WireType single_value_type(std::uint32_t field) {
  switch (field) {
    case kFloatData:
      return WireType::kFixed32;
    case kDoubleData:
      return WireType::kFixed64;
    case kRawData:
    case kStringData:
      return WireType::kLength;
    default:
      return WireType::kVarint;
  }
}

void store(TensorRecord& record, Span span) {
  if (!record.storage.empty() && record.storage.back().end == span.begin) {
    record.storage.back().end = span.end;
  } else {
    record.storage.push_back(span);
  }
}

void Scanner::tensor(Span body, std::int32_t frame) {
  if (layout_.tensors.size() == kMaxTensors) throw user_error("{} holds more than {} tensors", label_, kMaxTensors);
  TensorRecord record;
  record.frame = frame;
  record.body = body;
  External external;
  FieldReader fields(file_, body, label_);
  for (WireField field; fields.next(field);) {
    count_field();
    switch (field.number) {
      case kDims:
        dims(record, fields, field);
        break;
      case kDataType:
        if (field.type == WireType::kVarint) record.data_type = static_cast<std::int32_t>(fields.value(field));
        break;
      case kSegment:
        record.segmented = true;
        break;
      case kName:
        if (field.type == WireType::kLength)
          record.name = text({field.body.begin, std::min(field.body.end, field.body.begin + 65536)});
        break;
      case kDataLocation:
        if (field.type == WireType::kVarint) external.in_use = fields.value(field) == 1;
        store(record, field.whole);
        break;
      case kExternalData:
        if (field.type == WireType::kLength) external_entry(record, external, field);
        break;
      case kFloatData:
      case kInt32Data:
      case kStringData:
      case kInt64Data:
      case kRawData:
      case kDoubleData:
      case kUint64Data:
        payload(record, field);
        break;
      default:
        break;
    }
  }
  if (external.in_use) {
    if (record.payload_field != 0)
      throw user_error("tensor '{}' in {} is both external and inline", printable(record.name), label_);
    record.external = std::make_unique<ExternalRef>(std::move(external.ref));
  }
  layout_.tensors.push_back(std::move(record));
}

void Scanner::dims(TensorRecord& record, const FieldReader& fields, const WireField& field) {
  std::uint64_t at = field.body.begin;
  const bool readable = field.type == WireType::kVarint || field.type == WireType::kLength;
  while (readable && at < field.body.end) {
    if (record.dims.size() == kMaxRank) throw user_error("a tensor in {} has more than {} dims", label_, kMaxRank);
    record.dims.push_back(static_cast<std::int64_t>(fields.varint(at, field.body.end)));
  }
}

void Scanner::payload(TensorRecord& record, const WireField& field) {
  if (field.type != WireType::kLength && field.type != single_value_type(field.number))
    throw user_error("tensor '{}' in {} stores field {} in a way that ONNX has not", printable(record.name), label_,
                     field.number);
  store(record, field.whole);
  if (field.body.size() == 0 && field.number != kStringData)
    return;  // some writers set an empty raw_data besides the typed field
  const bool again = record.payload_field == field.number;
  if (record.payload_field != 0 && (!again || field.number == kRawData))
    throw user_error("tensor '{}' in {} has two payloads: fields {} and {}", printable(record.name), label_,
                     record.payload_field, field.number);
  record.payload_field = field.number;
  if (field.number == kRawData) record.raw = field.body;
}

void Scanner::external_entry(TensorRecord& record, External& external, const WireField& field) {
  store(record, field.whole);
  std::string key, value;
  FieldReader entry(file_, field.body, label_);
  for (WireField part; entry.next(part);) {
    count_field();
    if (part.type != WireType::kLength || part.number > 2) continue;
    if (part.body.size() > 4096) throw user_error("an external_data entry in {} is longer than 4096 bytes", label_);
    (part.number == 1 ? key : value) = text(part.body);
  }
  if (key != "location" && key != "offset" && key != "length" && key != "checksum")
    return;  // unknown keys mean nothing
  if (std::find(external.keys.begin(), external.keys.end(), key) != external.keys.end())
    throw user_error("tensor '{}' in {} has two external_data entries '{}'", printable(record.name), label_, key);
  external.keys.push_back(key);
  if (key == "location") external.ref.location = value;
  try {
    if (key == "offset") external.ref.offset = parse_external_number(key, value);
    if (key == "length") external.ref.length = parse_external_number(key, value);
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("tensor '{}' in {}: {}", printable(record.name), label_, error.what()));
  }
  if (key == "checksum") record.checksums.push_back(field.whole);
}

std::string varint_bytes(std::uint64_t value) {
  std::string result;
  append_varint(result, value);
  return result;
}

// The new lengths of enclosing messages, as splices of their own; `lengths` keeps the bytes.
std::vector<Splice> length_splices(const OnnxLayout& layout, std::span<const Splice> splices,
                                   std::vector<std::string>& lengths) {
  std::vector<std::int64_t> growth(layout.frames.size(), 0);
  for (const Splice& splice : splices) {
    if (splice.frame < 0) continue;
    std::int64_t& delta = growth[static_cast<std::size_t>(splice.frame)];
    for (const Bytes& bytes : splice.inserted) delta += static_cast<std::int64_t>(bytes.size());
    delta -= static_cast<std::int64_t>(splice.removed);
  }
  std::vector<Splice> result;
  lengths.reserve(layout.frames.size());  // so that the strings stay where they are
  for (std::size_t i = layout.frames.size(); i-- > 0;) {
    if (growth[i] == 0) continue;
    const Frame& frame = layout.frames[i];
    lengths.push_back(varint_bytes(frame.body.size() + static_cast<std::uint64_t>(growth[i])));
    result.push_back({frame.length.begin, frame.length.size(), {as_bytes(lengths.back())}, frame.parent});
    if (frame.parent >= 0)
      growth[static_cast<std::size_t>(frame.parent)] +=
          growth[i] + static_cast<std::int64_t>(lengths.back().size()) - static_cast<std::int64_t>(frame.length.size());
  }
  std::reverse(result.begin(), result.end());
  return result;
}

}  // namespace

void FieldReader::reject(std::string_view why, std::uint64_t at) const {
  throw user_error("{} is truncated or not an ONNX file: {} at byte {} of {}", label_, why, at, file_.size());
}

std::uint64_t FieldReader::varint(std::uint64_t& at, std::uint64_t end) const {
  std::uint64_t value = 0;
  const std::uint64_t start = at;
  for (unsigned shift = 0; shift < 70; shift += 7) {
    if (at >= end) reject("a number that does not end", start);
    const auto byte = static_cast<std::uint64_t>(file_[at++]);
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  reject("a number of more than 10 bytes", start);
}

std::uint64_t FieldReader::value(const WireField& field) const {
  std::uint64_t at = field.body.begin;
  return varint(at, field.body.end);
}

bool FieldReader::next(WireField& field) {
  if (at_ >= end_) return false;
  field.whole.begin = at_;
  const std::uint64_t tag = varint(at_, end_);
  field.number = static_cast<std::uint32_t>(tag >> 3);
  if (field.number == 0 || tag > 0xffffffffu) reject("an impossible field number", field.whole.begin);
  field.type = static_cast<WireType>(tag & 7);
  std::uint64_t size = 0;
  switch (field.type) {
    case WireType::kVarint: {
      std::uint64_t at = at_;
      varint(at, end_);
      size = at - at_;
      break;
    }
    case WireType::kFixed64:
      size = 8;
      break;
    case WireType::kFixed32:
      size = 4;
      break;
    case WireType::kLength:
      size = varint(at_, end_);
      break;
    default:
      reject("an impossible wire type", field.whole.begin);
  }
  if (size > end_ - at_) reject("a field that is longer than what is left", field.whole.begin);
  field.body = {at_, at_ + size};
  at_ += size;
  field.whole.end = at_;
  return true;
}

OnnxLayout scan_model(Bytes file, const std::string& label) { return Scanner(file, label).model(); }

OnnxLayout scan_tensor(Bytes file, const std::string& label) { return Scanner(file, label).tensor(); }

void write_spliced(Bytes file, const OnnxLayout& layout, std::span<const Splice> splices, const ByteSink& sink) {
  std::vector<std::string> lengths;
  std::vector<Splice> all = length_splices(layout, splices, lengths);
  all.insert(all.end(), splices.begin(), splices.end());
  std::stable_sort(all.begin(), all.end(), [](const Splice& a, const Splice& b) { return a.at < b.at; });
  std::uint64_t at = 0;
  for (const Splice& splice : all) {
    sink(file.subspan(at, splice.at - at));
    for (const Bytes& bytes : splice.inserted) sink(bytes);
    at = splice.at + splice.removed;
  }
  sink(file.subspan(at));
}

std::uint64_t spliced_size(Bytes file, const OnnxLayout& layout, std::span<const Splice> splices) {
  std::uint64_t size = 0;
  write_spliced(file, layout, splices, [&](Bytes bytes) { size += bytes.size(); });
  return size;
}

void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>((value & 0x7f) | 0x80);
  out += static_cast<char>(value);
}

}  // namespace retune
