// The wire format of an ONNX file, walked without copying: where every tensor's payload lies, and how to write the file
// again with some byte ranges replaced and everything else as it was.
//
// Protobuf's own parser would copy every weight, stop at 2 GB, and reorder fields newer than its schema. Here the file
// stays a span of bytes; only messages on the way to a TensorProto are descended into.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weights/external_data.h"

namespace retune {

using Bytes = std::span<const std::byte>;

// Limits on files from strangers. A model beyond them is a user error, before anything is allocated for it.
constexpr int kMaxMessageDepth = 96;  // protobuf's parser stops at 100; 31 subgraphs inside each other
// Messages take up to a hundred times their bytes once they are parsed: a model of 100,000 nodes has two million
// fields.
constexpr std::uint64_t kMaxFields = 1u << 22;             // fields of messages, payloads not counted
constexpr std::uint64_t kMaxNodeMessages = 1'000'000;      // NodeProtos, those of subgraphs and functions included
constexpr std::uint64_t kMaxTensors = 1u << 19;            // TensorProtos, attributes included
constexpr std::uint64_t kMaxSkeletonBytes = 256ull << 20;  // the file without payloads
constexpr std::size_t kMaxRank = 64;
constexpr std::size_t kMaxExternalFiles = 1u << 14;

struct Span {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t size() const { return end - begin; }
};

enum class WireType : std::uint8_t { kVarint = 0, kFixed64 = 1, kLength = 2, kFixed32 = 5 };

struct WireField {
  std::uint32_t number = 0;
  WireType type = WireType::kVarint;
  Span whole;  // tag, length and content
  Span body;   // content only: the message, string or packed values; or the bytes of the one value
};

// Reads the fields of the message in `body`, one after the other. User error naming `label` and the offset where the
// bytes are no protobuf message.
class FieldReader {
 public:
  FieldReader(Bytes file, Span body, const std::string& label)
      : file_(file), at_(body.begin), end_(body.end), label_(label) {}
  bool next(WireField& field);
  // The varint at `at`, which moves behind it; it must end before `end`.
  std::uint64_t varint(std::uint64_t& at, std::uint64_t end) const;
  std::uint64_t value(const WireField& field) const;  // of a varint field

 private:
  [[noreturn]] void reject(std::string_view why, std::uint64_t at) const;
  Bytes file_;
  std::uint64_t at_;
  std::uint64_t end_;
  const std::string& label_;
};

// A length-delimited message that holds a tensor, or is one.
struct Frame {
  Span length;  // the varint before the body
  Span body;
  std::int32_t parent = -1;  // index of the enclosing frame; -1 is the file
};

// Fields of TensorProto.
enum TensorField : std::uint32_t {
  kDims = 1,
  kDataType = 2,
  kSegment = 3,
  kFloatData = 4,
  kInt32Data = 5,
  kStringData = 6,
  kInt64Data = 7,
  kName = 8,
  kRawData = 9,
  kDoubleData = 10,
  kUint64Data = 11,
  kExternalData = 13,
  kDataLocation = 14,
};

// One TensorProto of the file.
struct TensorRecord {
  std::int32_t frame = -1;  // its own message
  Span body;
  std::string name;  // may be empty: tensors in attributes need none
  std::int32_t data_type = 0;
  std::vector<std::int64_t> dims;
  std::uint32_t payload_field = 0;  // the TensorField that is not empty, or 0
  Span raw;                         // content of raw_data
  std::vector<Span> storage;        // whole fields that say what or where the payload is; neighbours joined
  std::vector<Span> checksums;      // whole external_data entries with key "checksum"
  std::unique_ptr<ExternalRef> external;
  bool segmented = false;
};

struct OnnxLayout {
  std::vector<Frame> frames;          // outer before inner, in file order; only those with a tensor inside
  std::vector<TensorRecord> tensors;  // in file order
};

// Walks a serialized ModelProto. User errors naming `label`: not a protobuf message, no graph, a singular message field
// twice, beyond the limits above, a tensor whose fields contradict each other.
OnnxLayout scan_model(Bytes file, const std::string& label);
// The same for a serialized TensorProto; the one record has frame -1.
OnnxLayout scan_tensor(Bytes file, const std::string& label);

// Replaces `removed` bytes at `at`, which lie in `frame`, by the concatenation of `inserted`. The memory belongs to the
// caller.
struct Splice {
  std::uint64_t at = 0;
  std::uint64_t removed = 0;
  std::vector<Bytes> inserted;
  std::int32_t frame = -1;
};

using ByteSink = std::function<void(Bytes)>;

// Writes `file` to the sink with the splices applied and the lengths of the enclosing messages corrected. Splices come
// in ascending order and do not overlap. A length that does not change keeps its very bytes.
void write_spliced(Bytes file, const OnnxLayout& layout, std::span<const Splice> splices, const ByteSink& sink);
// How many bytes write_spliced would write.
std::uint64_t spliced_size(Bytes file, const OnnxLayout& layout, std::span<const Splice> splices);

void append_varint(std::string& out, std::uint64_t value);
inline Bytes as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

}  // namespace retune
