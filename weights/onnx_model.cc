#include "weights/onnx_model.h"

#include <google/protobuf/io/coded_stream.h>

#include <algorithm>
#include <charconv>
#include <deque>

#include "tensor/error.h"
#include "weights/hash_cache.h"
#include "weights/onnx_contents.h"
#include "weights/tensor_payload.h"

namespace retune {

namespace {

constexpr char kPayloadKey[] = "retune.payload";

// The serialized external_data entry {kPayloadKey, index}.
std::string payload_entry(std::size_t index) {
  onnx::TensorProto marker;
  set_payload_index(marker, index);
  return marker.SerializeAsString();
}

std::vector<Splice> without_storage(const OnnxLayout& layout) {
  std::vector<Splice> splices;
  for (const TensorRecord& record : layout.tensors)
    for (const Span& span : record.storage) splices.push_back({span.begin, span.size(), {}, record.frame});
  return splices;
}

ContentHash hash_of_graph(Bytes file, const OnnxLayout& layout) {
  Hasher hasher;
  write_spliced(file, layout, without_storage(layout), [&](Bytes bytes) { hasher.raw(bytes); });
  return hasher.finish();
}

onnx::ModelProto parse_skeleton(Bytes file, const OnnxLayout& layout, const std::string& label) {
  std::vector<Splice> splices;
  std::deque<std::string> entries;
  for (std::size_t i = 0; i < layout.tensors.size(); ++i) {
    const TensorRecord& record = layout.tensors[i];
    for (const Span& span : record.storage) splices.push_back({span.begin, span.size(), {}, record.frame});
    entries.push_back(payload_entry(i));
    splices.push_back({record.body.end, 0, {as_bytes(entries.back())}, record.frame});
  }
  std::string bytes;
  write_spliced(file, layout, splices,
                [&](Bytes part) { bytes.append(reinterpret_cast<const char*>(part.data()), part.size()); });
  onnx::ModelProto model;
  google::protobuf::io::CodedInputStream stream(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                                static_cast<int>(bytes.size()));
  if (!model.ParseFromCodedStream(&stream) || !stream.ConsumedEntireMessage())
    throw user_error("{} is not an ONNX model: its messages do not follow the schema", label);
  return model;
}

// Opens the files that records name, each once, and checks every payload's length against its file.
void open_externals(OnnxContents& contents, const std::filesystem::path& bundle_folder) {
  const std::string label = contents.file.string();
  std::optional<ExternalRoots> roots;
  std::map<std::string, std::int32_t> known;
  for (const TensorRecord& record : contents.layout.tensors) {
    std::int32_t file = -1;
    if (record.external != nullptr) try {
        check_location(record.external->location);
        const std::string location = std::filesystem::path(record.external->location).lexically_normal().string();
        const auto [entry, is_new] = known.try_emplace(location, static_cast<std::int32_t>(contents.externals.size()));
        if (is_new && known.size() > kMaxExternalFiles)
          throw user_error("more than {} external files", kMaxExternalFiles);
        if (!roots) roots = ExternalRoots::of(contents.file, bundle_folder);
        if (is_new) contents.externals.push_back({location, open_external(*roots, location)});
        file = entry->second;
      } catch (const Error& error) {
        throw Error(error.code(), fmt::format("{}: {}", tensor_label(record, label), error.what()));
      }
    contents.external_of.push_back(file);
    check_payload(record, contents.payload_file(contents.external_of.size() - 1).bytes(), label);
  }
}

using NamedTensors = std::vector<std::pair<std::string, const onnx::TensorProto*>>;

void collect_named(const onnx::GraphProto& graph, NamedTensors& named) {
  for (const onnx::TensorProto& tensor : graph.initializer()) named.emplace_back(tensor.name(), &tensor);
  for (const onnx::NodeProto& node : graph.node()) {
    const bool is_constant = node.op_type() == "Constant" && (node.domain().empty() || node.domain() == "ai.onnx");
    for (const onnx::AttributeProto& attribute : node.attribute()) {
      if (is_constant && attribute.name() == "value" && attribute.has_t() && node.output_size() == 1)
        named.emplace_back(node.output(0), &attribute.t());
      if (attribute.has_g()) collect_named(attribute.g(), named);
      for (const onnx::GraphProto& inner : attribute.graphs()) collect_named(inner, named);
    }
  }
}

void index_names(OnnxContents& contents) {
  NamedTensors named;
  collect_named(contents.skeleton.graph(), named);
  std::erase_if(named, [](const auto& entry) { return entry.first.empty(); });
  std::sort(named.begin(), named.end(),
            [](const auto& a, const auto& b) { return payload_index(*a.second) < payload_index(*b.second); });
  for (const auto& [name, proto] : named) {
    std::vector<const onnx::TensorProto*>& same_name = contents.by_name[name];
    if (same_name.empty()) contents.names.push_back(name);
    same_name.push_back(proto);
  }
}

}  // namespace

void set_payload_index(onnx::TensorProto& proto, std::size_t index) {
  proto.clear_external_data();
  onnx::StringStringEntryProto* entry = proto.add_external_data();
  entry->set_key(kPayloadKey);
  entry->set_value(std::to_string(index));
}

std::optional<std::size_t> payload_index(const onnx::TensorProto& proto) {
  for (const onnx::StringStringEntryProto& entry : proto.external_data()) {
    if (entry.key() != kPayloadKey) continue;
    std::size_t index = 0;
    std::from_chars(entry.value().data(), entry.value().data() + entry.value().size(), index);
    return index;
  }
  return std::nullopt;
}

const MappedFile& OnnxContents::payload_file(std::size_t index) const {
  const std::int32_t external = external_of[index];
  return external < 0 ? map : externals[static_cast<std::size_t>(external)].map;
}

std::size_t OnnxContents::index_of(const onnx::TensorProto& in_skeleton) const {
  const std::optional<std::size_t> index = payload_index(in_skeleton);
  if (!index || *index >= layout.tensors.size())
    throw std::logic_error(fmt::format("tensor '{}' is not of the skeleton of {}", in_skeleton.name(), file.string()));
  return *index;
}

Tensor OnnxContents::tensor(std::size_t index) const {
  const std::lock_guard lock(mutex_);
  if (const auto found = copied_.find(index); found != copied_.end()) return found->second;
  const TensorRecord& record = layout.tensors[index];
  const MappedFile& source = payload_file(index);
  Tensor result = decode_payload(record, source.bytes(), source.owner(), file.string());
  const Bytes bytes = source.bytes();
  const bool mapped = result.raw() >= bytes.data() && result.raw() < bytes.data() + bytes.size();
  if (!mapped) copied_.emplace(index, result);
  return result;
}

ContentHash OnnxContents::tensor_hash(std::size_t index) const {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = hashes_.find(index); found != hashes_.end()) return found->second;
  }
  const Tensor value = tensor(index);
  const TensorRecord& record = layout.tensors[index];
  const MappedFile& source = payload_file(index);
  const auto begin = record.external ? external_span(record, source.bytes()).begin : record.raw.begin;
  const bool is_raw = record.external || record.raw.size() == value.bytes();
  std::optional<ContentHash> hash;
  if (is_raw) hash = known_hash(source, begin, value.bytes());
  if (!hash) {
    hash = ContentHash::of(Bytes(value.raw(), value.bytes()));
    if (is_raw) remember_hash(source, begin, value.bytes(), *hash);
  }
  const std::lock_guard lock(mutex_);
  return hashes_.emplace(index, *hash).first->second;
}

OnnxModel OnnxModel::open(const std::filesystem::path& file, const std::filesystem::path& bundle_folder) {
  auto contents = std::make_shared<OnnxContents>();
  contents->file = file;
  contents->map = MappedFile::open(file);
  const Bytes bytes = contents->map.bytes();
  const std::string label = file.string();
  const std::string_view start(reinterpret_cast<const char*>(bytes.data()), std::min<std::size_t>(bytes.size(), 64));
  if (start.empty()) throw user_error("{} is empty; expected an ONNX model", label);
  if (start.starts_with("version https://git-lfs"))
    throw user_error("{} is a Git LFS pointer, not the model; fetch it with: git lfs pull", label);
  contents->layout = scan_model(bytes, label);
  open_externals(*contents, bundle_folder);
  contents->skeleton = parse_skeleton(bytes, contents->layout, label);
  contents->graph_hash = hash_of_graph(bytes, contents->layout);
  index_names(*contents);
  return OnnxModel(std::move(contents));
}

const onnx::ModelProto& OnnxModel::skeleton() const { return contents_->skeleton; }

Tensor OnnxModel::tensor(const onnx::TensorProto& in_skeleton) const {
  return contents_->tensor(contents_->index_of(in_skeleton));
}

ContentHash OnnxModel::tensor_hash(const onnx::TensorProto& in_skeleton) const {
  return contents_->tensor_hash(contents_->index_of(in_skeleton));
}

const std::vector<const onnx::TensorProto*>& OnnxModel::tensors_named(const std::string& name) const {
  const auto found = contents_->by_name.find(name);
  if (found == contents_->by_name.end())
    throw user_error("{} holds no tensor '{}'; see retune inspect", path().string(), printable(name));
  return found->second;
}

bool OnnxModel::has_tensor(const std::string& name) const { return contents_->by_name.count(name) != 0; }

const std::vector<std::string>& OnnxModel::tensor_names() const { return contents_->names; }

const std::filesystem::path& OnnxModel::path() const { return contents_->file; }

const ContentHash& OnnxModel::graph_hash() const { return contents_->graph_hash; }

std::vector<std::string> OnnxModel::external_locations() const {
  std::vector<std::string> result;
  for (const ExternalFile& external : contents_->externals) result.push_back(external.location);
  return result;
}

std::uint64_t OnnxModel::file_bytes() const {
  std::uint64_t total = contents_->map.bytes().size();
  for (const ExternalFile& external : contents_->externals) total += external.map.bytes().size();
  return total;
}

Tensor read_tensor_file(const std::filesystem::path& file) {
  const MappedFile map = MappedFile::open(file);
  const std::string label = file.string();
  const OnnxLayout layout = scan_tensor(map.bytes(), label);
  const TensorRecord& record = layout.tensors.front();
  if (record.external != nullptr) throw user_error("{} keeps its data in another file; expected it inside", label);
  check_payload(record, map.bytes(), label);
  return decode_payload(record, map.bytes(), map.owner(), label);
}

}  // namespace retune
