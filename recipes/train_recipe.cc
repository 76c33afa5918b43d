#include "recipes/train_recipe.h"

#include <algorithm>
#include <span>
#include <type_traits>
#include <variant>

#include "facts/json_text.h"
#include "learning/hyper_network.h"
#include "tensor/error.h"
#include "tensor/nearest_word.h"

namespace retune {

namespace {

constexpr double kLargestSeed = 9007199254740992.0;
constexpr double kLargestSize = 1e6;
constexpr double kLargestCount = 1e9;

// The types that the members of an options struct have.
template <class T>
struct MemberOf {
  using Type = std::variant<std::int64_t T::*, std::uint64_t T::*, double T::*>;
};
template <>
struct MemberOf<SynthOptions> {
  template <class Value>
  using Member = Value SynthOptions::*;
  using Type = std::variant<Member<std::int64_t>, Member<std::uint64_t>, Member<double>, Member<int>,
                            Member<std::string>, Member<std::vector<std::string>>>;
};

// A member of an options struct that a recipe may set; type and default are the struct's.
template <class T>
struct Field {
  const char* name;
  typename MemberOf<T>::Type member;
  double least = 0;
  double most = 0;
  std::vector<std::string> choices = {};
  const char* meaning = "";
};

template <class Value>
constexpr Setting::Type type_of() {
  if constexpr (std::is_same_v<Value, double>) return Setting::Type::kNumber;
  if constexpr (std::is_same_v<Value, std::string>) return Setting::Type::kText;
  if constexpr (std::is_same_v<Value, std::vector<std::string>>) return Setting::Type::kTexts;
  return Setting::Type::kInteger;
}

template <class T>
std::vector<Setting> settings_of(std::span<const Field<T>> fields, const T& defaults) {
  std::vector<Setting> settings;
  for (const Field<T>& field : fields)
    std::visit(
        [&]<class Value>(Value T::*member) {
          Setting setting{field.name, type_of<Value>(), defaults.*member, {}, {}, field.choices, field.meaning};
          if constexpr (std::is_arithmetic_v<Value>) {
            setting.least = field.least;
            setting.most = field.most;
          }
          settings.push_back(std::move(setting));
        },
        field.member);
  return settings;
}

template <class T, class Value>
void set_member(T& options, Value T::*member, const Settings& resolved, const char* name) {
  if constexpr (std::is_same_v<Value, std::vector<std::string>>)
    options.*member = texts_of(resolved, name);
  else
    options.*member = resolved.at(name).template get<Value>();
}

template <class T>
T filled(std::span<const Field<T>> fields, const Settings& resolved, T options) {
  for (const Field<T>& field : fields)
    std::visit([&](auto member) { set_member(options, member, resolved, field.name); }, field.member);
  return options;
}

using Training = LalmTrainingOptions;
using Stage = TrainingStage;
using Size = LalmShape;
using Synth = SynthOptions;

const Field<Training> kTraining[] = {
    {"seed", &Training::seed, 0, kLargestSeed, {}, "of the first weights, the batches and the augmentation"},
    {"vocabulary_size", &Training::vocabulary_size, 260, kLargestSize, {}, "of the tokenizer that is trained first"},
    {"weight_decay", &Training::weight_decay, 0, 1, {}, "of AdamW, per step and unit of the rate"},
    {"clip_norm", &Training::clip_norm, 1e-9, 1e9, {}, "longest gradient, over all parameters"},
    {"checkpoint_every", &Training::checkpoint_every, 1, kLargestCount, {}, "in steps"}};
const Field<SpecAugment> kAugment[] = {
    {"max_bins", &SpecAugment::max_bins, 0, kLargestSize, {}, "widest band of mel bins that is masked"},
    {"max_frames", &SpecAugment::max_frames, 0, kLargestSize, {}, "longest stretch of frames that is masked"}};
const Field<Stage> kStage[] = {
    {"steps", &Stage::steps, 0, kLargestCount, {}, "of the optimiser"},
    {"batch", &Stage::batch, 1, kLargestSize, {}, "items a step"},
    {"learning_rate", &Stage::learning_rate, 1e-12, 1e3, {}, "the highest; a cosine takes it to a tenth"},
    {"warmup_steps", &Stage::warmup_steps, 0, kLargestCount, {}, "over which the rate rises"},
    {"attribute_weight", &Stage::attribute_weight, 0, 1e6, {}, "of the attribute loss"},
    {"text_share", &Stage::text_share, 0, 0.999, {}, "of the batch: items without sound, joint stage only"}};
const Field<Size> kSize[] = {
    {"mel_bins", &Size::mel_bins, 1, 512, {}, "of the front-end"},
    {"encoder_width", &Size::encoder_width, 1, kLargestSize, {}, "of the audio encoder's residual stream"},
    {"encoder_blocks", &Size::encoder_blocks, 1, 1000, {}, "of the audio encoder"},
    {"encoder_heads", &Size::encoder_heads, 1, 1000, {}, "of its attention; divides encoder_width"},
    {"encoder_hidden", &Size::encoder_hidden, 1, kLargestSize, {}, "of its MLP"},
    {"max_encoder_frames", &Size::max_encoder_frames, 1, kLargestSize, {}, "positions that the encoder knows"},
    {"stack", &Size::stack, 1, 1000, {}, "encoder frames in one row of audio features"},
    {"connector_hidden", &Size::connector_hidden, 1, kLargestSize, {}, "of the connector"},
    {"width", &Size::width, 1, kLargestSize, {}, "of the decoder's residual stream"},
    {"blocks", &Size::blocks, 1, 1000, {}, "of the decoder"},
    {"heads", &Size::heads, 1, 1000, {}, "of its attention"},
    {"kv_heads", &Size::kv_heads, 1, 1000, {}, "keys and values; divides heads"},
    {"head_size", &Size::head_size, 1, 4096, {}, "of each head; even"},
    {"hidden", &Size::hidden, 1, kLargestSize, {}, "of its gated MLP"},
    {"rope_theta", &Size::rope_theta, 1, 1e12, {}, "base of the rotary positions"},
    {"norm_epsilon", &Size::norm_epsilon, 0, 1, {}, "of the normalisations"}};
const Field<Synth> kSynth[] = {{"seed", &Synth::seed, 0, kLargestSeed, {}, "of all that is made"},
                               {"train_clips", &Synth::train_clips, 100, 1e6, {}, "clips to learn from"},
                               {"val_clips", &Synth::val_clips, 100, 1e6, {}, "clips of the validation split"},
                               {"test_clips", &Synth::test_clips, 100, 1e6, {}, "clips of the test split"},
                               {"train_edits", &Synth::train_edits, 0, 1e5, {}, "edits of each attribute"},
                               {"val_edits", &Synth::val_edits, 0, 1e5, {}, "edits of each attribute"},
                               {"test_edits", &Synth::test_edits, 0, 1e5, {}, "edits of each attribute"},
                               {"sequences", &Synth::sequences, 0, 1000, {}, "of ten edits each"},
                               {"demo_edits", &Synth::demo_edits, 0, 1000, {}, "in all"},
                               {"clip_seconds", &Synth::clip_seconds, 1, 30, {}, "length of a clip in seconds"},
                               {"rate_hz", &Synth::rate_hz, 8000, 48000, {}, "sample rate in Hz"},
                               {"audio_format", &Synth::audio_format, 0, 0, {"flac", "wav"}, "of the files"},
                               {"attributes",
                                &Synth::attributes,
                                0,
                                0,
                                {"Gender", "Emotion", "Language", "Animal"},
                                "what is asked; without the first three no speech is made"}};

template <class T, std::size_t N>
Form form_of(const char* key, const char* meaning, const Field<T> (&fields)[N], const T& defaults) {
  return {key, meaning, settings_of(std::span<const Field<T>>(fields), defaults), {}};
}
template <class T, std::size_t N>
T read(const Field<T> (&fields)[N], const Settings& resolved, T start) {
  return filled(std::span<const Field<T>>(fields), resolved, std::move(start));
}

// What is trained, in the words of every kind of training recipe.
void check_kind(const std::string& name, const Settings& given) {
  std::vector<std::string> words = {"lalm"};
  for (const HyperNetworkKind& kind : hyper_network_kinds()) words.push_back(kind.word);
  const auto train = given.find("train");
  if (train == given.end())
    throw user_error("{}: 'train' is missing; it must say one of '{}'", name, fmt::join(words, "', '"));
  if (!train->is_string() || *train == words[0]) return;
  const std::string word = train->get<std::string>();
  throw user_error("{}: 'train' must be one of '{}', got '{}'; did you mean '{}'?", name, fmt::join(words, "', '"),
                   word, nearest_word(word, words));
}

Settings resolve_train_recipe(const Settings& given, const std::string& name) {
  Form form = train_recipe_form();
  if (given.contains("method") && !given.contains("train"))
    throw user_error("{}: this is an edit recipe, expected a training recipe; give it to retune edit", name);
  check_kind(name, given);
  check_keys(form, name, given);
  if (!given.contains("synth")) std::erase_if(form.parts, [](const Form& part) { return part.key == "synth"; });
  return resolve(form, name, given);
}

}  // namespace

TrainRecipe TrainRecipe::load(const std::filesystem::path& path) { return parse(read_text(path), path.string()); }

TrainRecipe TrainRecipe::parse(const std::string& text, const std::string& name) {
  parse_json(text, name);  // the strict reader; the one below keeps the order of keys
  TrainRecipe recipe(name, resolve_train_recipe(Settings::parse(text), name));
  try {
    recipe.training().validate();
    if (const auto options = recipe.synth()) options->validate();
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}: {}", name, error.what()));
  }
  return recipe;
}

TrainRecipe TrainRecipe::with(const std::string& key, const Settings& value) const {
  Settings changed = resolved_;
  changed[key] = value;
  return parse(changed.dump(), name_);
}

std::uint64_t TrainRecipe::seed() const { return resolved_.at("seed").get<std::uint64_t>(); }

std::optional<SynthOptions> TrainRecipe::synth() const {
  const auto given = resolved_.find("synth");
  if (given == resolved_.end()) return std::nullopt;
  return read(kSynth, *given, SynthOptions{});
}

LalmTrainingOptions TrainRecipe::training() const {
  LalmTrainingOptions options = read(kTraining, resolved_, LalmTrainingOptions{});
  options.shape = read(kSize, resolved_.at("model"), options.shape);
  options.hearing = read(kStage, resolved_.at("hearing"), options.hearing);
  options.joint = read(kStage, resolved_.at("joint"), options.joint);
  options.augment = read(kAugment, resolved_.at("augment"), options.augment);
  return options;
}

bool is_train_recipe(const std::filesystem::path& path) {
  const nlohmann::json given = parse_json(read_text(path), path.string());
  if (!given.is_object()) throw user_error("{}: expected a JSON object, got {}", path.string(), given.type_name());
  return given.contains("train");
}

Form train_recipe_form() {
  const LalmTrainingOptions defaults;
  Form form = form_of("", "a training recipe: how a model is made from random weights", kTraining, defaults);
  form.settings.insert(form.settings.begin(),
                       {{"description", Setting::Type::kText, nullptr, {}, {}, {}, "for people"},
                        {"train", Setting::Type::kText, nullptr, {}, {}, {"lalm"}, "what is trained"}});
  form.parts = {form_of("synth", "the data, where they are to be made; see retune synth", kSynth, SynthOptions{}),
                form_of("model", "sizes of the model", kSize, defaults.shape),
                form_of("augment", "masks over the sound (SpecAugment)", kAugment, defaults.augment),
                form_of("hearing", "first stage: the encoder alone learns the attributes", kStage, defaults.hearing),
                form_of("joint", "second stage: the whole model learns to answer", kStage, defaults.joint)};
  return form;
}

}  // namespace retune
