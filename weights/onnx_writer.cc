#include "weights/onnx_writer.h"

#include <deque>
#include <optional>
#include <set>

#include "tensor/error.h"
#include "tensor/staged_output.h"
#include "weights/onnx_contents.h"
#include "weights/tensor_payload.h"

namespace retune {

namespace {

constexpr std::uint64_t kExternalAlignment = 4096;
constexpr std::uint64_t kLargestFile = std::numeric_limits<std::int32_t>::max();  // protobuf's limit

// The payload of one TensorProto: bytes of raw_data, or whole typed fields as another file stores them.
struct Payload {
  Bytes bytes;
  bool is_fields = false;
};

// Where payloads come from: first those of options.payloads by their own index, then the new initializers.
class PayloadSource {
 public:
  PayloadSource(const std::vector<std::pair<std::string, Tensor>>& initializers, const OnnxModel* model)
      : initializers_(initializers), model_(model) {}

  std::size_t first_new() const { return model_ == nullptr ? 0 : model_->contents().layout.tensors.size(); }

  Payload get(std::size_t index, std::deque<std::string>& copies) const {
    if (index >= first_new()) {
      const Tensor& tensor = initializers_.at(index - first_new()).second;
      return {Bytes(tensor.raw(), tensor.bytes()), false};
    }
    const OnnxContents& contents = model_->contents();
    const TensorRecord& record = contents.layout.tensors[index];
    const bool is_raw = record.external != nullptr || record.payload_field == kRawData;
    return {stored_payload(record, contents.payload_file(index).bytes(), copies), !is_raw};
  }

 private:
  const std::vector<std::pair<std::string, Tensor>>& initializers_;
  const OnnxModel* model_;
};

onnx::ModelProto with_initializers(const onnx::ModelProto& model,
                                   const std::vector<std::pair<std::string, Tensor>>& initializers,
                                   std::size_t first_index) {
  onnx::ModelProto draft = model;
  onnx::GraphProto& graph = *draft.mutable_graph();
  std::set<std::string> names;
  for (const onnx::TensorProto& tensor : graph.initializer()) names.insert(tensor.name());
  for (std::size_t i = 0; i < initializers.size(); ++i) {
    const auto& [name, tensor] = initializers[i];
    if (!names.insert(name).second) throw user_error("two initializers are named '{}'", printable(name));
    onnx::TensorProto& proto = *graph.add_initializer();
    proto.set_name(name);
    proto.set_data_type(static_cast<std::int32_t>(tensor.dtype()));
    for (const std::int64_t extent : tensor.shape()) proto.add_dims(extent);
    set_payload_index(proto, first_index + i);
  }
  return draft;
}

std::string raw_data_header(std::uint64_t size) {
  std::string header;
  append_varint(header, (std::uint64_t{kRawData} << 3) | static_cast<std::uint64_t>(WireType::kLength));
  append_varint(header, size);
  return header;
}

std::string external_fields(const std::string& location, std::uint64_t offset, std::uint64_t length) {
  onnx::TensorProto fields;
  const auto add = [&](const char* key, std::string value) {
    onnx::StringStringEntryProto* entry = fields.add_external_data();
    entry->set_key(key);
    entry->set_value(std::move(value));
  };
  add("location", location);
  add("offset", std::to_string(offset));
  add("length", std::to_string(length));
  fields.set_data_location(onnx::TensorProto::EXTERNAL);
  return fields.SerializeAsString();
}

// The data file beside the ONNX file, made when the first tensor goes there.
class ExternalWriter {
 public:
  explicit ExternalWriter(std::filesystem::path file) : path_(std::move(file)) {}

  // Appends and returns the fields that point there.
  std::string append(Bytes bytes) {
    if (!file_) file_.emplace(path_);
    static constexpr std::byte kZeros[kExternalAlignment] = {};
    const std::uint64_t padding = (kExternalAlignment - size_ % kExternalAlignment) % kExternalAlignment;
    file_->write(Bytes(kZeros, padding));
    file_->write(bytes);
    const std::uint64_t offset = size_ + padding;
    size_ = offset + bytes.size();
    return external_fields(path_.filename().string(), offset, bytes.size());
  }

  void commit() {
    if (file_) file_->commit();
  }

 private:
  std::filesystem::path path_;
  std::optional<StagedFile> file_;
  std::uint64_t size_ = 0;
};

std::optional<std::size_t> index_in_draft(Bytes draft, const TensorRecord& record) {
  const bool may_be_ours = record.payload_field == 0 && !record.storage.empty();
  if (!may_be_ours) return std::nullopt;
  onnx::TensorProto proto;
  proto.ParseFromArray(draft.data() + record.body.begin, static_cast<int>(record.body.size()));
  return payload_index(proto);
}

}  // namespace

void write_onnx(const onnx::ModelProto& model, const std::vector<std::pair<std::string, Tensor>>& initializers,
                const std::filesystem::path& file, const OnnxWriteOptions& options) {
  const PayloadSource payloads(initializers, options.payloads);
  const std::string draft_text = with_initializers(model, initializers, payloads.first_new()).SerializeAsString();
  const Bytes draft = as_bytes(draft_text);
  const OnnxLayout layout = scan_model(draft, file.string());

  std::filesystem::path data_path = file;
  data_path += "_data";
  ExternalWriter external(data_path);
  std::deque<std::string> copies;
  std::vector<Splice> splices;
  for (const TensorRecord& record : layout.tensors) {
    const std::optional<std::size_t> index = index_in_draft(draft, record);
    if (!index) continue;
    for (const Span& span : record.storage) splices.push_back({span.begin, span.size(), {}, record.frame});
    const Payload payload = payloads.get(*index, copies);
    Splice insert{record.body.end, 0, {}, record.frame};
    if (payload.is_fields) {
      insert.inserted = {payload.bytes};
    } else if (payload.bytes.size() >= options.external_from) {
      copies.push_back(external.append(payload.bytes));
      insert.inserted = {as_bytes(copies.back())};
    } else {
      copies.push_back(raw_data_header(payload.bytes.size()));
      insert.inserted = {as_bytes(copies.back()), payload.bytes};
    }
    splices.push_back(std::move(insert));
  }
  const std::uint64_t size = spliced_size(draft, layout, splices);
  if (size > kLargestFile)
    throw user_error("{} would be {} bytes, more than ONNX files may have ({}); keep large tensors in external data",
                     file.string(), size, kLargestFile);
  StagedFile out(file);
  write_spliced(draft, layout, splices, [&](Bytes bytes) { out.write(bytes); });
  external.commit();
  out.commit();
}

}  // namespace retune
