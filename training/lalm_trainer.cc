#include "training/lalm_trainer.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numbers>
#include <set>

#include "adapters/tensor_file.h"
#include "graph/graph_builder.h"
#include "graph/import.h"
#include "lalm/link.h"
#include "lalm/prompt.h"
#include "learning/answer_loss.h"
#include "tensor/error.h"
#include "tensor/staged_output.h"
#include "text/bpe_trainer.h"
#include "training/lalm_bundle_files.h"

namespace retune {

namespace {

using Inputs = std::map<std::string, Feed, std::less<>>;

struct Vocabulary {
  std::string json;
  Tokenizer tokenizer;
  SpecialIds ids;
};

Vocabulary train_vocabulary(const Corpus& corpus, std::int64_t size) {
  std::vector<std::string> lines;
  for (const CorpusItem& item : corpus.items()) {
    lines.push_back(item.question);
    lines.push_back(item.answer);
  }
  lines.insert(lines.end(), {"system\n", "user\n", "assistant\n"});
  std::string json = train_byte_level_bpe(
      lines, {.vocabulary_size = size, .special_tokens = {kEndOfText, kTurnStart, kTurnEnd, kAudioPlaceholder}});
  Tokenizer tokenizer = Tokenizer::parse(json, "the trained tokenizer");
  const SpecialIds ids{tokenizer.require_id(kEndOfText), tokenizer.require_id(kTurnStart),
                       tokenizer.require_id(kTurnEnd), tokenizer.require_id(kAudioPlaceholder)};
  return {std::move(json), std::move(tokenizer), ids};
}

// The graph that training runs, and its parameters: the linked model, the answer loss, and a head an attribute.
struct TrainingModel {
  BuiltGraph encoder, embed, decoder;
  std::shared_ptr<const Graph> graph;
  std::map<std::string, Tensor> masters;  // by linked name; written in place
  Parameters parameters;                  // the same memory, and the tables
};

void append_attribute_losses(Graph& graph, const LalmData& data, const LalmShape& shape, Rng rng,
                             std::map<std::string, Tensor>& masters) {
  GraphBuilder b(graph);
  const ValueId output = graph.require(std::string(kEncoderPrefix) + "encoder_output");
  const ValueId pooled =
      b.op("ReduceMean", {output}, {{"axes", std::vector<std::int64_t>{1}}, {"keepdims", std::int64_t{0}}});
  ValueId total = kNoValue;
  for (std::size_t a = 0; a < data.attributes.size(); ++a) {
    const std::string& name = data.attributes[a];
    const Shape weight_shape{shape.encoder_width, static_cast<std::int64_t>(data.labels[a].size())};
    Rng own = rng.fork(name);
    Tensor weight = Tensor::empty(DType::kF32, weight_shape);
    for (std::int64_t i = 0; i < weight.numel(); ++i)
      weight.mutable_data<float>()[i] = static_cast<float>(0.05 * own.normal());
    const ValueId head = graph.add_parameter("attribute_head/" + name, DType::kF32, weight_shape, "", name);
    masters["attribute_head/" + name] = std::move(weight);
    const ValueId labels = graph.add_input("attribute_labels/" + name, DType::kI64, {{-1, "clips"}});
    const ValueId weights = graph.add_input("attribute_weights/" + name, DType::kF32, {{-1, "clips"}});
    const ValueId logits = b.op("MatMul", {pooled, head}, {}, "attribute_logits/" + name);
    const ValueId loss =
        b.ops("retune", "CrossEntropy", {logits, labels, weights}, {}, {"attribute_loss/" + name, ""})[0];
    total = total == kNoValue ? loss : b.add(total, loss);
  }
  if (total == kNoValue) throw user_error("the corpus tells no attribute of any clip; hearing cannot be trained");
  b.op("Identity", {total}, {}, "attribute_loss");
}

TrainingModel build_model(const LalmTrainingOptions& options, const LalmData& data) {
  const Rng rng = Rng(options.seed).fork("weights");
  TrainingModel model{build_audio_encoder(options.shape, drawn_weights(rng.fork("encoder"))),
                      build_token_embedding(options.shape, drawn_weights(rng.fork("embed"))),
                      build_decoder(options.shape, drawn_weights(rng.fork("decoder"))),
                      nullptr,
                      {},
                      {}};
  Graph graph = link({&model.encoder.graph, &model.embed.graph, &model.decoder.graph});
  append_answer_loss(graph, "answer_loss");
  append_attribute_losses(graph, data, options.shape, rng.fork("heads"), model.masters);
  GraphBuilder b(graph);
  b.op("Add", {graph.require("answer_loss"), graph.require("attribute_loss")}, {}, "loss");
  const std::pair<const char*, const BuiltGraph*> parts[] = {
      {kEncoderPrefix, &model.encoder}, {kEmbedPrefix, &model.embed}, {kDecoderPrefix, &model.decoder}};
  for (const auto& [prefix, built] : parts)
    for (const auto& [name, feed] : built->parameters) {
      model.parameters[prefix + name] = feed;
      if (std::find(built->tables.begin(), built->tables.end(), name) == built->tables.end())
        model.masters[prefix + name] = feed.tensor;
    }
  for (const auto& [name, tensor] : model.masters) model.parameters[name] = {tensor};
  model.graph = std::make_shared<const Graph>(std::move(graph));
  return model;
}

double rate_at(const TrainingStage& stage, std::int64_t step) {
  if (step < stage.warmup_steps)
    return stage.learning_rate * static_cast<double>(step + 1) / static_cast<double>(stage.warmup_steps);
  const double done = static_cast<double>(step - stage.warmup_steps) /
                      static_cast<double>(std::max<std::int64_t>(1, stage.steps - stage.warmup_steps));
  return stage.learning_rate * (0.1 + 0.9 * 0.5 * (1.0 + std::cos(std::numbers::pi * done)));
}

std::vector<std::int64_t> draw(const std::vector<std::int64_t>& from, std::int64_t count, Rng& rng) {
  std::vector<std::int64_t> chosen;
  for (std::int64_t i = 0; i < count && !from.empty(); ++i) chosen.push_back(rng.choose(from));
  return chosen;
}

class Trainer {
 public:
  Trainer(const LalmTrainingOptions& options, const LalmData& data, TrainingModel& model, std::int64_t placeholder,
          Session& session, const TrainingObserver& observer, std::filesystem::path work, std::string identity)
      : options_(options),
        data_(data),
        model_(model),
        placeholder_(placeholder),
        session_(session),
        observer_(observer),
        work_(std::move(work)),
        identity_(std::move(identity)),
        adam_(AdamOptions{.learning_rate = options.joint.learning_rate, .weight_decay = options.weight_decay}) {
    for (const auto& [name, tensor] : model_.masters) {
      if (name.starts_with(kEncoderPrefix) && !name.starts_with(std::string(kEncoderPrefix) + "multi_modal_projector"))
        hearing_names_.push_back(name);
      if (name.starts_with("attribute_head/")) hearing_names_.push_back(name);
      all_names_.push_back(name);
    }
  }

  // With a folder to go on from and to save in, or none.
  void run() {
    if (!work_.empty()) restore();
    run_stage("hearing", options_.hearing, 0, hearing_names_, "attribute_loss");
    run_stage("joint", options_.joint, options_.hearing.steps, all_names_, "loss");
  }

 private:
  void run_stage(const std::string& name, const TrainingStage& stage, std::int64_t offset,
                 const std::vector<std::string>& names, const std::string& loss) {
    if (done_ == offset) adam_.restore({});  // a stage starts with fresh moments
    while (done_ < offset + stage.steps) {
      const std::int64_t step = done_ - offset;
      Request request;
      request.loss = loss;
      request.wrt = names;
      request.outputs = {"attribute_loss"};
      if (loss == "loss") request.outputs.insert(request.outputs.end(), {"answer_loss", "loss"});
      fill_batch(name, stage, step, request.inputs);
      Results results = session_.run(model_.graph, model_.parameters, request);
      std::map<std::string, Tensor> gradients;
      for (const std::string& parameter : names) gradients[parameter] = results["grad:" + parameter].tensor;
      clip_global_norm(gradients, options_.clip_norm);
      adam_.step(model_.masters, gradients, rate_at(stage, step), session_.pool());
      ++done_;
      report(name, stage, step, results, loss);
    }
  }

  void fill_batch(const std::string& name, const TrainingStage& stage, std::int64_t step, Inputs& inputs) const {
    Rng rng = Rng(options_.seed).fork(name, static_cast<std::uint64_t>(step));
    const bool joint = name == "joint";
    const auto text = joint && !data_.text_items.empty()
                          ? static_cast<std::int64_t>(std::lround(stage.text_share * static_cast<double>(stage.batch)))
                          : 0;
    std::vector<std::int64_t> items = draw(data_.sound_items, stage.batch - text, rng);
    std::vector<std::int64_t> clips;
    for (const std::int64_t item : items) clips.push_back(data_.items[static_cast<std::size_t>(item)].clip);
    inputs["audio_values"] = {audio_batch(data_, clips, options_.augment, rng.fork("augment"))};
    add_attribute_labels(data_, clips, stage.attribute_weight, inputs);
    if (!joint) return;
    for (const std::int64_t item : draw(data_.text_items, text, rng)) items.push_back(item);
    const std::int64_t frames = (data_.frames - 1) / 2 + 1;
    const std::int64_t rows = (frames + options_.shape.stack - 1) / options_.shape.stack + 1;
    add_prompts(data_, items, rows, placeholder_, inputs);
    const Shape empty{stage.batch, options_.shape.kv_heads, 0, options_.shape.head_size};
    for (std::int64_t block = 0; block < options_.shape.blocks; ++block)
      for (const char* half : {"key", "value"})
        inputs[fmt::format("past_key_values.{}.{}", block, half)] = {Tensor::zeros(DType::kF32, empty)};
  }

  void report(const std::string& name, const TrainingStage& stage, std::int64_t step, const Results& results,
              const std::string& loss) {
    const auto value = [&](const char* output) {
      return results.has(output) ? results[output].tensor.to_f64()[0] : 0.0;
    };
    const TrainingProgress progress{
        name, step + 1, stage.steps, value(loss.c_str()), value("answer_loss"), value("attribute_loss")};
    if (!std::isfinite(progress.loss))
      throw failure("training diverged at {} step {}: the loss is {}; lower learning_rate", name, step + 1,
                    progress.loss);
    curve_ += fmt::format(
        "{{\"stage\":\"{}\",\"step\":{},\"loss\":{:.6g},\"answer_loss\":{:.6g},\"attribute_loss\":{:.6g}}}\n", name,
        step + 1, progress.loss, progress.answer_loss, progress.attribute_loss);
    const bool go_on = observer_(progress);
    if (!work_.empty() && (!go_on || done_ % options_.checkpoint_every == 0)) save();
    if (!go_on)
      throw Error(ErrorCode::kInterrupted,
                  fmt::format("stopped at {} step {}; run the same command again to go on", name, step + 1));
  }

  void save() const {
    std::map<std::string, Tensor> tensors;
    for (const auto& [name, tensor] : model_.masters) tensors["master:" + name] = tensor;
    for (const auto& [name, moments] : adam_.moments()) {
      tensors["first:" + name] = moments.first;
      tensors["second:" + name] = moments.second;
      tensors["steps:" + name] = Tensor::scalar<std::int64_t>(moments.steps);
    }
    tensors["done"] = Tensor::scalar<std::int64_t>(done_);
    tensors["identity"] = Tensor::vector<std::uint8_t>({identity_.begin(), identity_.end()});
    tensors["curve"] = Tensor::vector<std::uint8_t>({curve_.begin(), curve_.end()});
    write_tensors(work_ / "checkpoint.h5", tensors);
    write_file_atomically(work_ / "loss.jsonl", curve_);
  }

  void restore() {
    const std::filesystem::path path = work_ / "checkpoint.h5";
    if (!std::filesystem::exists(path)) return;
    const std::map<std::string, Tensor> tensors = read_tensors(path);
    const auto text = [&](const char* name) {
      const auto values = tensors.at(name).values<std::uint8_t>();
      return std::string(values.begin(), values.end());
    };
    if (!tensors.contains("identity") || text("identity") != identity_)
      throw user_error("{} belongs to other options or another corpus; remove {} to start again", path.string(),
                       work_.string());
    std::map<std::string, Adam::Moments> moments;
    for (const auto& [name, tensor] : tensors) {
      if (name.starts_with("master:"))
        std::copy_n(tensor.data<float>(), tensor.numel(), model_.masters.at(name.substr(7)).mutable_data<float>());
      if (name.starts_with("first:")) moments[name.substr(6)].first = tensor.copy();
      if (name.starts_with("second:")) moments[name.substr(7)].second = tensor.copy();
      if (name.starts_with("steps:")) moments[name.substr(6)].steps = tensor.to_i64()[0];
    }
    adam_.restore(std::move(moments));
    done_ = tensors.at("done").to_i64()[0];
    curve_ = text("curve");
  }

  const LalmTrainingOptions& options_;
  const LalmData& data_;
  TrainingModel& model_;
  std::int64_t placeholder_;
  Session& session_;
  const TrainingObserver& observer_;
  std::filesystem::path work_;
  std::string identity_;
  Adam adam_;
  std::vector<std::string> hearing_names_, all_names_;
  std::int64_t done_ = 0;
  std::string curve_;
};

std::string identity_of(const LalmTrainingOptions& o, const Corpus& corpus) {
  Hasher hasher;
  hasher.add(corpus.hash()).add(static_cast<std::int64_t>(o.seed)).add(o.vocabulary_size);
  const LalmShape& s = o.shape;
  for (const std::int64_t size : {s.mel_bins, s.encoder_width, s.encoder_blocks, s.encoder_heads, s.encoder_hidden,
                                  s.max_encoder_frames, s.stack, s.connector_hidden, s.width, s.blocks, s.heads,
                                  s.kv_heads, s.head_size, s.hidden, o.augment.max_bins, o.augment.max_frames})
    hasher.add(size);
  for (const TrainingStage& stage : {o.hearing, o.joint})
    hasher.add(fmt::format("{} {} {} {} {} {}", stage.steps, stage.batch, stage.learning_rate, stage.warmup_steps,
                           stage.attribute_weight, stage.text_share));
  hasher.add(fmt::format("{} {}", o.weight_decay, o.clip_norm));
  return hasher.finish().hex();
}

void write_bundle(const LalmTrainingOptions& options, const Vocabulary& vocabulary, const TrainingModel& model,
                  const std::filesystem::path& out) {
  std::filesystem::create_directories(out / "onnx");
  const auto write = [&](const BuiltGraph& built, const char* prefix, const char* file) {
    Parameters trained;
    for (const auto& [name, feed] : built.parameters) trained[name] = model.parameters.at(prefix + name);
    export_onnx(built.graph, trained, out / "onnx" / file);
  };
  write(model.encoder, kEncoderPrefix, "audio_encoder.onnx");
  write(model.embed, kEmbedPrefix, "embed_tokens.onnx");
  write(model.decoder, kDecoderPrefix, "decoder_model_merged.onnx");
  const BundleTexts texts = bundle_texts(options.shape, vocabulary.ids);
  write_file_atomically(out / "config.json", texts.config);
  write_file_atomically(out / "generation_config.json", texts.generation_config);
  write_file_atomically(out / "tokenizer.json", vocabulary.json);
  write_file_atomically(out / "tokenizer_config.json", texts.tokenizer_config);
  write_file_atomically(out / "preprocessor_config.json", texts.preprocessor_config);
  write_file_atomically(out / "processor_config.json", texts.processor_config);
}

}  // namespace

void LalmTrainingOptions::validate() const {
  for (const auto& [name, stage] :
       {std::pair<const char*, const TrainingStage&>{"hearing", hearing}, {"joint", joint}}) {
    if (stage.steps < 0 || stage.batch <= 0 || stage.warmup_steps < 0)
      throw user_error("train: {}: steps, batch and warmup_steps must not be negative, batch not 0", name);
    if (!(stage.learning_rate > 0))
      throw user_error("train: {}: learning_rate must be positive, got {}", name, stage.learning_rate);
    if (stage.text_share < 0 || stage.text_share >= 1)
      throw user_error("train: {}: text_share must lie in [0, 1), got {}", name, stage.text_share);
  }
  if (checkpoint_every <= 0) throw user_error("train: checkpoint_every must be positive, got {}", checkpoint_every);
  if (!(clip_norm > 0) || weight_decay < 0)
    throw user_error("train: clip_norm must be positive and weight_decay not negative");
}

void train_lalm(const Corpus& corpus, const LalmTrainingOptions& given, const std::filesystem::path& work,
                const std::filesystem::path& out, Session& session, const TrainingObserver& observer) {
  given.validate();
  std::filesystem::create_directories(work);
  LalmTrainingOptions options = given;
  const Vocabulary vocabulary = train_vocabulary(corpus, options.vocabulary_size);
  options.shape.vocabulary = vocabulary.tokenizer.vocabulary_size();
  options.shape.validate();
  const BundleTexts texts = bundle_texts(options.shape, vocabulary.ids);
  const FrontEnd front_end = FrontEnd::parse(texts.preprocessor_config, "preprocessor_config.json");
  const ChatTemplate chat =
      ChatTemplate::from_jinja(chat_template_text(), "", kAudioPlaceholder, "tokenizer_config.json");
  const LalmData data =
      load_lalm_data(corpus, front_end, vocabulary.tokenizer, chat, kAudioPlaceholder, session.pool());
  TrainingModel model = build_model(options, data);
  Trainer(options, data, model, vocabulary.ids.audio, session, observer, work, identity_of(options, corpus)).run();
  write_bundle(options, vocabulary, model, out);
}

TrainingSizes training_sizes(const Corpus& corpus, const LalmTrainingOptions& options, std::int64_t frames) {
  const Vocabulary vocabulary = train_vocabulary(corpus, options.vocabulary_size);
  const ChatTemplate chat =
      ChatTemplate::from_jinja(chat_template_text(), "", kAudioPlaceholder, "tokenizer_config.json");
  TrainingSizes sizes{.frames = frames, .clips = 0, .prompt = 0, .answer = 0, .labels = {}};
  std::set<std::string> clips;
  std::map<std::string, std::set<std::string>> labels;
  for (const CorpusItem& item : corpus.items()) {
    const Prompt prompt = make_prompt(vocabulary.tokenizer, chat, kAudioPlaceholder, item.question, {1});
    sizes.prompt = std::max(sizes.prompt, prompt.length());
    const auto answer = static_cast<std::int64_t>(vocabulary.tokenizer.encode(item.answer).size()) + 1;
    sizes.answer = std::max(sizes.answer, answer);
    if (!item.clip) continue;
    clips.insert(item.clip->name());
    if (!item.attribute.empty() && !item.label.empty()) labels[item.attribute].insert(item.label);
  }
  sizes.clips = static_cast<std::int64_t>(clips.size());
  for (const auto& [attribute, names] : labels) sizes.labels.push_back(static_cast<std::int64_t>(names.size()));
  return sizes;
}

void rehearse_training(const LalmTrainingOptions& given, const TrainingSizes& sizes, Session& session) {
  constexpr std::int64_t kPlaceholder = 1, kToken = 0;
  LalmTrainingOptions options = given;
  options.validate();
  options.shape.vocabulary = options.vocabulary_size;
  for (TrainingStage* stage : {&options.hearing, &options.joint})
    stage->steps = std::min<std::int64_t>(1, stage->steps);
  LalmData data;
  data.mels = options.shape.mel_bins;
  data.frames = sizes.frames;
  for (const std::int64_t labels : sizes.labels) {
    data.attributes.push_back(fmt::format("attribute {}", data.attributes.size()));
    data.labels.emplace_back(static_cast<std::size_t>(labels));
  }
  data.clips.push_back(
      {Tensor::zeros(DType::kF16, {data.mels, data.frames}), std::vector<std::int64_t>(data.attributes.size(), 0)});
  TrainingItem sound{0, std::vector<std::int64_t>(static_cast<std::size_t>(sizes.prompt), kToken),
                     std::vector<std::int64_t>(static_cast<std::size_t>(sizes.answer), kToken)};
  TrainingItem text = sound;
  text.clip = -1;
  sound.prompt.front() = kPlaceholder;
  data.items = {std::move(sound), std::move(text)};
  data.sound_items = {0};
  data.text_items = {1};
  TrainingModel model = build_model(options, data);
  const TrainingObserver go_on = [](const TrainingProgress&) { return true; };
  Trainer(options, data, model, kPlaceholder, session, go_on, {}, "").run();
}

}  // namespace retune
