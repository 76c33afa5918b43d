// Patch::save and Patch::load; docs/formats/patch.md is the page.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "adapters/context_json.h"
#include "adapters/hdf5_file.h"
#include "adapters/hdf5_writer.h"
#include "adapters/insert_json.h"
#include "adapters/patch.h"
#include "adapters/tensor_file.h"
#include "tensor/error.h"
#include "weights/external_data.h"

namespace retune {

namespace {

using nlohmann::json;

constexpr std::string_view kFormat = "retune-patch";

std::string delta_group(std::size_t index) { return fmt::format("deltas/{:06}", index); }

std::string insert_tensor(std::size_t insert, std::size_t index) {
  return fmt::format("inserts/{:06}/{:06}", insert, index);
}
std::string context_clip(std::size_t index) { return fmt::format("context/clips/{:06}", index); }

json to_json(const DeltaTarget& target) {
  json result{{"file", target.file},
              {"initializer", target.initializer},
              {"transposed", target.transposed},
              {"stored", dtype_name(target.stored)},
              {"sha256", target.sha256.hex()}};
  if (target.slice)
    result["slice"] = {{"axis", target.slice->axis}, {"begin", target.slice->begin}, {"count", target.slice->count}};
  return result;
}

DeltaTarget target_from(const json& text) {
  DeltaTarget target;
  target.file = text.at("file").get<std::string>();
  target.initializer = text.at("initializer").get<std::string>();
  target.transposed = text.at("transposed").get<bool>();
  target.stored = dtype_from_name(text.at("stored").get<std::string>());
  target.sha256 = ContentHash::from_hex(text.at("sha256").get<std::string>());
  if (text.contains("slice")) {
    const json& slice = text.at("slice");
    target.slice = {slice.at("axis").get<int>(), slice.at("begin").get<std::int64_t>(),
                    slice.at("count").get<std::int64_t>()};
  }
  return target;
}

json about(const Patch& patch) {
  json files = json::object();
  for (const auto& [file, hash] : patch.files) files[file] = hash.hex();
  json beneath = json::array();
  for (const ContentHash& hash : patch.beneath) beneath.push_back(hash.hex());
  json deltas = json::array();
  for (const TensorDelta& delta : patch.deltas) {
    json targets = json::array();
    for (const DeltaTarget& target : delta.targets) targets.push_back(to_json(target));
    deltas.push_back(
        {{"site", delta.site}, {"shape", delta.shape.extents()}, {"form", form_name(delta)}, {"targets", targets}});
  }
  return {{"method", patch.method}, {"seed", patch.seed}, {"retune", patch.retune}, {"graph", patch.graph_hash.hex()},
          {"files", files},         {"beneath", beneath}, {"deltas", deltas}};
}

void write_values(Hdf5Writer& writer, const std::string& group, const TensorDelta& delta) {
  if (const auto* dense = std::get_if<DenseDelta>(&delta.values)) {
    writer.write(group + "/values", dense->values);
  } else if (const auto* low_rank = std::get_if<LowRankDelta>(&delta.values)) {
    writer.write(group + "/u", low_rank->u);
    writer.write(group + "/v", low_rank->v);
  } else {
    writer.write(group + "/indices", std::get<SparseDelta>(delta.values).indices);
    writer.write(group + "/values", std::get<SparseDelta>(delta.values).values);
  }
}

TensorDelta delta_from(const json& text, const Hdf5File& file, const std::string& group) {
  TensorDelta delta;
  delta.site = text.at("site").get<std::string>();
  delta.shape = Shape(text.at("shape").get<std::vector<std::int64_t>>());
  const std::string form = text.at("form").get<std::string>();
  if (form == "dense")
    delta.values = DenseDelta{file.read(group + "/values")};
  else if (form == "low-rank")
    delta.values = LowRankDelta{file.read(group + "/u"), file.read(group + "/v")};
  else if (form == "sparse")
    delta.values = SparseDelta{file.read(group + "/indices"), file.read(group + "/values")};
  else
    throw user_error("a delta of form '{}', which this version does not know", printable(form));
  for (const json& target : text.at("targets")) delta.targets.push_back(target_from(target));
  return delta;
}

void write_inserts(Hdf5Writer& writer, const std::vector<GraphInsert>& inserts) {
  nlohmann::ordered_json about = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < inserts.size(); ++i) {
    about.push_back(insert_json(inserts[i]));
    const std::vector<Tensor> tensors = insert_tensors(inserts[i]);
    for (std::size_t t = 0; t < tensors.size(); ++t) writer.write(insert_tensor(i, t), tensors[t]);
  }
  if (!inserts.empty()) writer.write_text("inserts/about", about.dump(1));
}

std::vector<GraphInsert> read_inserts(const Hdf5File& file) {
  std::vector<GraphInsert> inserts;
  for (const auto& about : nlohmann::ordered_json::parse(file.read_text("inserts/about")))
    inserts.push_back(
        insert_from(about, [&](std::size_t tensor) { return file.read(insert_tensor(inserts.size(), tensor)); }));
  return inserts;
}

void write_context(Hdf5Writer& writer, const PromptContext& context) {
  writer.write_text("context/about", context_json(context).dump(1));
  const std::vector<ContextClip> clips = distinct_clips(context);
  for (std::size_t i = 0; i < clips.size(); ++i) writer.write(context_clip(i), clips[i].bytes);
}

PromptContext read_context(const Hdf5File& file) {
  const json about = json::parse(file.read_text("context/about"));
  return context_from(about, [&](std::size_t index) { return file.read(context_clip(index)); });
}

// The original name of a dataset below `folder`, nothing if it lies elsewhere.
std::optional<std::string> name_below(std::string_view folder, std::string_view dataset) {
  if (!dataset.starts_with(folder)) return std::nullopt;
  return decode_name(dataset.substr(folder.size()));
}

Patch read_patch(const Hdf5File& file) {
  Patch patch;
  const json text = json::parse(file.read_text("about"));
  patch.method = text.at("method").get<std::string>();
  patch.seed = text.at("seed").get<std::uint64_t>();
  patch.retune = text.at("retune").get<std::string>();
  patch.graph_hash = ContentHash::from_hex(text.at("graph").get<std::string>());
  for (const auto& [name, hash] : text.at("files").items())
    patch.files[name] = ContentHash::from_hex(hash.get<std::string>());
  for (const json& hash : text.at("beneath")) patch.beneath.push_back(ContentHash::from_hex(hash.get<std::string>()));
  for (const json& delta : text.at("deltas"))
    patch.deltas.push_back(delta_from(delta, file, delta_group(patch.deltas.size())));
  patch.recipe = file.read_text("recipe");
  patch.facts = file.read_text("facts");
  for (const std::string& dataset : file.datasets()) {
    if (const auto name = name_below("memory/", dataset)) patch.memory[*name] = file.read(dataset);
    if (const auto name = name_below("notes/", dataset)) patch.notes[*name] = file.read(dataset).to_f64();
  }
  if (file.has("inserts/about")) patch.inserts = read_inserts(file);
  if (file.has("context/about")) patch.context = read_context(file);
  check(patch);
  return patch;
}

}  // namespace

void Patch::save(const std::filesystem::path& path) const {
  check(*this);
  Hdf5Writer writer(path);
  writer.attribute("", "format", kFormat);
  writer.attribute("", "version", version());
  writer.attribute("", "id", id().hex());
  writer.write_text("about", about(*this).dump(1));
  writer.write_text("recipe", recipe);
  writer.write_text("facts", facts);
  for (std::size_t i = 0; i < deltas.size(); ++i) write_values(writer, delta_group(i), deltas[i]);
  for (const auto& [name, tensor] : memory) writer.write("memory/" + encode_name(name), tensor);
  for (const auto& [name, numbers] : notes) writer.write("notes/" + encode_name(name), Tensor::vector(numbers));
  write_inserts(writer, inserts);
  if (context) write_context(writer, *context);
  writer.commit();
}

Patch Patch::load(const std::filesystem::path& path) {
  const Hdf5File file = Hdf5File::open(path);
  if (file.text_attribute("", "format") != kFormat)
    throw user_error("{} is not a patch: its attribute 'format' is not '{}'", path.string(), kFormat);
  const std::optional<std::int64_t> version = file.integer_attribute("", "version");
  if (!version || *version < 1 || *version > kPatchVersion)
    throw user_error("{} is a patch of format version {}; this Retune ({}) reads versions 1 to {}", path.string(),
                     version ? std::to_string(*version) : "none", retune_version(), kPatchVersion);
  std::string why;
  try {
    Patch patch = read_patch(file);
    if (file.text_attribute("", "id") == patch.id().hex() && patch.version() == *version) return patch;
    why = "its content does not have the id that it was saved with";
  } catch (const json::exception& error) {
    why = fmt::format("its description: {}", printable(error.what(), 200));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kUser) throw;
    why = error.what();
  }
  throw user_error("patch {} is damaged: {}", path.string(), why);
}

}  // namespace retune
