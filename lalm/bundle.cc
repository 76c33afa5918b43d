#include "lalm/bundle.h"

#include <algorithm>
#include <limits>

#include "graph/import.h"
#include "lalm/context.h"
#include "lalm/link.h"
#include "tensor/error.h"
#include "text/json_fields.h"

namespace retune {

namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t kMaxConfigBytes = std::uintmax_t{64} << 20;

// The object that a configuration is; nothing where there is no such file.
std::optional<Json> find_config(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return std::nullopt;
  Json config = read_json(path, kMaxConfigBytes);
  if (!config.is_object()) throw user_error("{}: expected a JSON object, got {}", path.string(), config.type_name());
  return config;
}

Json require_config(const fs::path& path) {
  if (auto config = find_config(path)) return std::move(*config);
  throw user_error("{} is missing; a bundle in the transformers.js layout has it (see docs/concepts.md)",
                   path.string());
}

// Suffixes of the transformers.js layout by element type, the widest first.
constexpr const char* kSuffixes[] = {"",      "_fp16",  "_bf16", "_q8",    "_quantized",
                                     "_int8", "_uint8", "_q4",   "_q4f16", "_bnb4"};

// The file of a role relative to the folder, e.g. "onnx/decoder_model_merged_fp16.onnx".
std::string role_file(const fs::path& folder, const std::string& stem) {
  for (const char* place : {"onnx/", ""})
    for (const char* suffix : kSuffixes)
      if (const std::string file = place + stem + suffix + ".onnx"; fs::exists(folder / file)) return file;
  std::string found;
  for (const fs::path& place : {folder / "onnx", folder}) {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(place, none))
      if (entry.path().extension() == ".onnx") found += (found.empty() ? "" : ", ") + entry.path().filename().string();
  }
  throw user_error("{} has no onnx/{}.onnx (nor with a type suffix); it has {}", folder.string(), stem,
                   found.empty() ? "no .onnx file" : found);
}

std::string cache_name(const std::string& input) {  // past_key_values.3.key -> 3.key
  constexpr std::string_view kPast = "past_key_values.";
  return input.starts_with(kPast) ? input.substr(kPast.size()) : std::string();
}

DecoderInterface read_interface(const Graph& decoder, const std::string& file) {
  DecoderInterface result;
  std::map<std::int64_t, DecoderInterface::Cache> caches;
  for (const ValueId id : decoder.inputs) {
    const Value& value = decoder.value(id);
    if (value.name == "position_ids") result.position_ids = true;
    if (value.name == "num_logits_to_keep") result.num_logits_to_keep = true;
    if (value.name == "use_cache_branch") result.use_cache_branch = true;
    if (value.name == "inputs_embeds" && value.declared.size() == 3)
      result.width = std::max<std::int64_t>(0, value.declared[2].extent);
    const std::string part = cache_name(value.name);
    if (part.empty()) continue;
    const std::size_t dot = part.find('.');
    if (dot == std::string::npos || part.substr(0, dot).find_first_not_of("0123456789") != std::string::npos ||
        dot > 6 || dot == 0)
      throw user_error("{}: cache input '{}' is not of the form past_key_values.N.key", file, value.name);
    auto& cache = caches[std::stoll(part.substr(0, dot))];
    const bool key = part.substr(dot + 1) == "key";
    (key ? cache.past_key : cache.past_value) = value.name;
    (key ? cache.present_key : cache.present_value) = "present." + part;
    if (value.declared.size() != 4 || value.declared[1].extent <= 0 || value.declared[3].extent <= 0)
      throw user_error(
          "{}: cache input '{}' must be [batch, kv_heads, past, head_size] with numbers for kv_heads and head_size",
          file, value.name);
    cache.empty = Shape{1, value.declared[1].extent, 0, value.declared[3].extent};
    cache.dtype = value.dtype;
  }
  for (auto& [index, cache] : caches) {
    if (cache.past_key.empty() || cache.past_value.empty())
      throw user_error("{}: block {} has a past key or value but not both", file, index);
    for (const std::string& present : {cache.present_key, cache.present_value})
      if (decoder.find(present) == kNoValue)
        throw user_error("{}: there is no output '{}' for its past", file, present);
    result.caches.push_back(cache);
  }
  return result;
}

std::int64_t count_or_none(const Json& object, const char* key) {
  const auto found = object.find(key);
  const bool counts = found != object.end() && found->is_number_integer() && *found > 0 && *found <= 1'000'000'000;
  return counts ? found->get<std::int64_t>() : 0;
}

// max_position_embeddings of the language model, times the factor by which rope_scaling stretches it where the number
// is the unscaled one (linear, dynamic, YaRN); Llama 3.1 and later state the stretched length.
std::int64_t read_positions(const Json& config) {
  const auto nested = config.find("text_config");
  const Json& text = nested != config.end() && nested->is_object() ? *nested : config;
  const std::int64_t stated = count_or_none(text, "max_position_embeddings");
  const auto scaling = text.find("rope_scaling");
  if (stated == 0 || scaling == text.end() || !scaling->is_object()) return stated;
  const auto factor = scaling->find("factor");
  if (factor == scaling->end() || !factor->is_number() || !(*factor > 1 && *factor < 1'000'000)) return stated;
  const std::int64_t original = count_or_none(*scaling, "original_max_position_embeddings");
  const double stretched = factor->get<double>() * static_cast<double>(original > 0 ? original : stated);
  return std::max(stated, static_cast<std::int64_t>(stretched));
}

void add_ids(std::vector<std::int64_t>& ids, const Json& config, const char* key) {
  if (!config.contains(key)) return;
  const Json& value = config[key];
  for (const Json& id : value.is_array() ? value : Json::array({value}))
    // Some configurations write -1 for none.
    if (id.is_number_integer() && id >= 0 && id <= std::numeric_limits<std::int32_t>::max() &&
        std::find(ids.begin(), ids.end(), id.get<std::int64_t>()) == ids.end())
      ids.push_back(id.get<std::int64_t>());
}

std::vector<std::int64_t> read_end_ids(const fs::path& folder, const Json& config, const Tokenizer& tokenizer,
                                       const ChatTemplate& chat) {
  std::vector<std::int64_t> ids;
  if (const auto generation = find_config(folder / "generation_config.json")) add_ids(ids, *generation, "eos_token_id");
  add_ids(ids, config, "eos_token_id");
  if (config.contains("text_config") && config["text_config"].is_object())
    add_ids(ids, config["text_config"], "eos_token_id");
  for (const std::string& token : chat.end_of_turn())
    if (const auto id = tokenizer.id_of(token); id && std::find(ids.begin(), ids.end(), *id) == ids.end())
      ids.push_back(*id);
  if (ids.empty())
    throw user_error("{}: no end-of-sequence token in generation_config.json, config.json or the chat template",
                     folder.string());
  return ids;
}

std::string read_placeholder(const fs::path& folder, const Json& config, const Tokenizer& tokenizer) {
  if (const auto processor = find_config(folder / "processor_config.json"))
    for (const char* key : {"audio_placeholder", "audio_token"})
      if (processor->contains(key) && (*processor)[key].is_string()) return (*processor)[key].get<std::string>();
  for (const char* key : {"ignore_index", "audio_token_id", "audio_token_index"})
    if (config.contains(key) && config[key].is_number_integer() && tokenizer.has_token(config[key].get<std::int64_t>()))
      return std::string(tokenizer.token(config[key].get<std::int64_t>()));
  throw user_error(
      "{}: neither processor_config.json (audio_placeholder) nor config.json (audio_token_index) names the audio "
      "placeholder",
      folder.string());
}

}  // namespace

struct Bundle::State {
  fs::path folder;
  std::map<std::string, std::shared_ptr<const OnnxModel>> models;
  BundleFiles files;
  std::shared_ptr<const Graph> graph, text_graph;
  DecoderInterface decoder;
  Tokenizer tokenizer;
  ChatTemplate chat;
  FrontEnd front_end;
  Padding padding = Padding::kNone;
  std::string placeholder;
  std::vector<std::int64_t> end_ids;
  SiteMap sites;
};

Bundle::Bundle(std::shared_ptr<const State> state, ModelView view, std::shared_ptr<const InsertedBundle> inserted)
    : state_(std::move(state)), view_(std::move(view)), inserted_(std::move(inserted)) {
  if (!inserted_) return;
  auto parameters = std::make_shared<Parameters>(view_.parameters());
  parameters->insert(inserted_->parameters.begin(), inserted_->parameters.end());
  parameters_ = std::move(parameters);
}

Bundle Bundle::open(const fs::path& folder) {
  if (!fs::is_directory(folder))
    throw user_error("{} is not a folder; a bundle is a folder in the transformers.js layout", folder.string());
  const fs::path config_file = folder / "config.json";
  const Json config = require_config(config_file);
  Tokenizer tokenizer = Tokenizer::load(folder / "tokenizer.json");
  ChatTemplate chat = ChatTemplate::find(folder);
  FrontEnd front_end = FrontEnd::load(folder / "preprocessor_config.json");
  std::map<std::string, std::shared_ptr<const OnnxModel>> models;
  BundleFiles files;
  Parameters parameters;
  std::map<std::string, ContentHash> hashes;
  for (const auto& [stem, prefix] : {std::pair{"audio_encoder", kEncoderPrefix},
                                     {"embed_tokens", kEmbedPrefix},
                                     {"decoder_model_merged", kDecoderPrefix}}) {
    const std::string file = role_file(folder, stem);
    auto model = std::make_shared<const OnnxModel>(OnnxModel::open(folder / file, folder));
    Graph graph = import_onnx(*model, file);
    for (auto& [name, feed] : parameters_of(graph, *model)) parameters[prefix + name] = feed;
    hashes[file] = model->graph_hash();
    models[file] = model;
    files.push_back(BundleFile::of(file, prefix, std::move(model), std::move(graph)));
  }
  const BundleGraphs parts{files[0].host.graph.get(), files[1].host.graph.get(), files[2].host.graph.get()};
  auto graph = std::make_shared<const Graph>(link(parts));
  auto text_graph = std::make_shared<const Graph>(link({nullptr, parts.embed, parts.decoder}));
  ModelView view = ModelView::of(*graph, std::move(parameters), std::move(hashes), [models](const ParameterOrigin& at) {
    const OnnxModel& model = *models.at(at.file);
    return model.tensor_hash(*model.tensors_named(at.initializer).at(0));
  });
  DecoderInterface decoder = read_interface(*parts.decoder, files[2].name);
  decoder.vocabulary = tokenizer.vocabulary_size();
  decoder.positions = read_positions(config);
  std::string placeholder = read_placeholder(folder, config, tokenizer);
  std::vector<std::int64_t> end_ids = read_end_ids(folder, config, tokenizer, chat);
  // Ultravox's processor does not pad clips to thirty seconds; the others' do.
  const bool unpadded =
      string_or(config, "model_type", "", config_file.string()) == "ultravox" ||
      (find_config(folder / "processor_config.json").value_or(Json::object()).contains("encoder_ds_factor"));
  SiteMap sites = find_sites(*graph, files);
  auto state = std::make_shared<const State>(
      State{folder, std::move(models), std::move(files), std::move(graph), std::move(text_graph), std::move(decoder),
            std::move(tokenizer), std::move(chat), std::move(front_end), unpadded ? Padding::kNone : Padding::kToChunk,
            std::move(placeholder), std::move(end_ids), std::move(sites)});
  return Bundle(std::move(state), std::move(view), nullptr);
}

Bundle Bundle::with(std::shared_ptr<const Patch> patch) const {
  const bool inserts = !patch->inserts.empty();
  ModelView view = view_.with(std::move(patch));
  auto inserted = inserts ? insert_into(state_->files, view.inserts(), state_->sites) : inserted_;
  Bundle result(state_, std::move(view), std::move(inserted));
  result.context_ = hear_context(result, context_.get());
  return result;
}

Bundle Bundle::without_top() const {
  ModelView view = view_.without_top();
  const std::vector<StackedInsert> left = view.inserts();
  auto inserted = inserted_;
  if (left.empty())
    inserted = nullptr;
  else if (!view_.patches().back()->inserts.empty())
    inserted = insert_into(state_->files, left, state_->sites);
  Bundle result(state_, std::move(view), std::move(inserted));
  result.context_ = hear_context(result, context_.get());
  return result;
}

Bundle Bundle::without_patches() const {
  ModelView view = view_;
  while (!view.patches().empty()) view = view.without_top();
  return {state_, std::move(view), nullptr};
}

const fs::path& Bundle::folder() const { return state_->folder; }
const ModelView& Bundle::view() const { return view_; }
const std::shared_ptr<const Graph>& Bundle::graph() const { return inserted_ ? inserted_->graph : state_->graph; }
const std::shared_ptr<const Graph>& Bundle::text_graph() const {
  return inserted_ ? inserted_->text_graph : state_->text_graph;
}
const DecoderInterface& Bundle::decoder() const { return state_->decoder; }
const Tokenizer& Bundle::tokenizer() const { return state_->tokenizer; }
const ChatTemplate& Bundle::chat() const { return state_->chat; }
const FrontEnd& Bundle::front_end() const { return state_->front_end; }
Padding Bundle::padding() const { return state_->padding; }
const std::string& Bundle::placeholder() const { return state_->placeholder; }
const std::vector<std::int64_t>& Bundle::end_ids() const { return state_->end_ids; }
const SiteMap& Bundle::sites() const { return inserted_ ? inserted_->sites : state_->sites; }
const std::map<std::string, std::shared_ptr<const OnnxModel>>& Bundle::models() const { return state_->models; }
ContentHash Bundle::hash() const { return view_.hash(); }

bool Bundle::per_call() const {
  if (inserted_) return inserted_->per_call;
  return std::any_of(state_->files.begin(), state_->files.end(),
                     [](const BundleFile& file) { return file.host.record.per_call; });
}

const std::map<std::string, OnnxAddition>& Bundle::additions() const {
  static const std::map<std::string, OnnxAddition> none;
  return inserted_ ? inserted_->additions : none;
}

const BundleFile& Bundle::file_of(const std::string& file) const {
  for (const BundleFile& known : state_->files)
    if (known.name == file) return known;
  throw user_error("{} has no model file {}", folder().string(), file);
}

FileValue Bundle::file_value(const std::string& linked, const std::string& file) const {
  FileValue found{state_->files.back().name, linked};  // the decoder's inputs and outputs have their own names
  for (const BundleFile& candidate : state_->files) {
    const Graph& graph = *candidate.host.graph;
    const bool is_input = std::any_of(graph.inputs.begin(), graph.inputs.end(),
                                      [&](ValueId id) { return graph.value(id).name == linked; });
    if (linked.starts_with(candidate.prefix))
      found = {candidate.name, linked.substr(candidate.prefix.size())};
    else if (is_input)
      found.file = candidate.name;
  }
  if (inserted_)
    for (const auto& [name, own] : inserted_->own_names)
      if (own == linked)
        found.name =
            name.starts_with(kEncoderPrefix) || name.starts_with(kEmbedPrefix) ? name.substr(name.find('/') + 1) : name;
  file_of(found.file).host.graph->require(found.name);
  if (!file.empty() && found.file != file)
    throw user_error("value '{}' is of {}, expected one of {}", linked, found.file, file);
  return found;
}

int Bundle::opset_of(const std::string& file) const { return file_of(file).host.opset; }

DType Bundle::float_type_of(const std::string& file, const std::string& value) const {
  return retune::float_type_of(*file_of(file).host.graph, value);
}

const Graph& Bundle::plain_graph() const { return *state_->graph; }

}  // namespace retune
