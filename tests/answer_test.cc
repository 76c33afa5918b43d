// Asking a model: prefix and suffix against the whole, greedy generation against argmax over whole evaluations, scores
// against log-softmax, and bits that depend on nothing but the question.
#include "lalm/answer.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>

#include "graph/import.h"
#include "lalm/check.h"
#include "tensor/error.h"
#include "tensor/staged_output.h"
#include "tests/tiny_bundle.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

AnswerOptions asking(std::int64_t max_new_tokens, std::vector<std::string> options = {},
                     std::optional<std::string> expected = {}) {
  AnswerOptions result;
  result.max_new_tokens = max_new_tokens;
  result.options = std::move(options);
  result.expected = std::move(expected);
  return result;
}

// The one-line message of the error that the action throws, which must have this code.
std::string error_of(const std::function<void()>& action, ErrorCode code = ErrorCode::kUser) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

class Asking : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = std::make_unique<ScratchFolder>();
    write_tiny_bundle(*scratch_ / "bundle");
  }
  static void TearDownTestSuite() { scratch_.reset(); }

  Prompt sound_prompt(Session& session, double hertz = 180) const {
    return prompt_for(session, bundle_, kTinyQuestion, tone(hertz));
  }

  // Logits [ids, V] of one evaluation of everything, through the bundle's own graph and nothing else.
  Tensor whole_logits(const Prompt& prompt, const std::vector<std::int64_t>& continuation) const {
    Session session({.threads = 1});
    std::vector<std::int64_t> ids = prompt.ids;
    ids.insert(ids.end(), continuation.begin(), continuation.end());
    const auto length = static_cast<std::int64_t>(ids.size());
    std::vector<std::int64_t> positions(ids.size());
    std::iota(positions.begin(), positions.end(), 0);
    Request request;
    request.inputs["input_ids"] = {Tensor::of<std::int64_t>({1, length}, ids), {}};
    request.inputs["position_ids"] = {Tensor::of<std::int64_t>({1, length}, positions), {}};
    request.inputs["attention_mask"] = {Tensor::of<std::int64_t>({1, length}, std::vector<std::int64_t>(ids.size(), 1)),
                                        {}};
    for (const auto& cache : bundle_.decoder().caches)
      for (const std::string& past : {cache.past_key, cache.past_value})
        request.inputs[past] = {Tensor::zeros(cache.dtype, cache.empty), {}};
    if (prompt.audio.tensor.defined()) {
      request.inputs["audio_values"] = prompt.audio;
      request.inputs["audio_rows"] = {
          Tensor::of<std::int64_t>({static_cast<std::int64_t>(prompt.audio_rows.size()), 1}, prompt.audio_rows), {}};
    }
    request.outputs = {"logits"};
    const auto& graph = prompt.audio.tensor.defined() ? bundle_.graph() : bundle_.text_graph();
    const Tensor logits = session.run(graph, bundle_.parameters(), request)["logits"].tensor;
    return logits.reshaped({length, logits.shape().back()});
  }

  // Every byte of the site's weight becomes `byte`, in the file itself.
  void damage(const fs::path& file, const Site& site, char byte) const {
    const Tensor weight = bundle_.parameters().at(site.weight).tensor;
    const std::string payload(reinterpret_cast<const char*>(weight.raw()), weight.bytes());
    std::string bytes = bytes_of(file);
    const std::size_t at = bytes.find(payload);
    ASSERT_NE(at, std::string::npos);
    bytes.replace(at, payload.size(), payload.size(), byte);
    write_file_atomically(file, bytes);
  }

  // log softmax(row)[id] in f64.
  static double log_probability(const Tensor& logits, std::int64_t row, std::int64_t id) {
    const std::int64_t vocabulary = logits.shape().back();
    const float* data = logits.data<float>() + row * vocabulary;
    double sum = 0;
    for (std::int64_t v = 0; v < vocabulary; ++v) sum += std::exp(static_cast<double>(data[v]));
    return static_cast<double>(data[id]) - std::log(sum);
  }

  static double gap(const Tensor& a, const Tensor& b) {
    EXPECT_EQ(a.shape(), b.shape());
    const auto [low, high] = std::minmax_element(b.data<float>(), b.data<float>() + b.numel());
    double largest = 0;
    for (std::int64_t i = 0; i < a.numel(); ++i)
      largest = std::max(largest,
                         std::abs(static_cast<double>(a.data<float>()[i]) - static_cast<double>(b.data<float>()[i])));
    return largest / static_cast<double>(*high - *low);
  }

  static std::unique_ptr<ScratchFolder> scratch_;
  Bundle bundle_ = Bundle::open(*scratch_ / "bundle");
  Session session_{SessionOptions{.threads = 2}};
};
std::unique_ptr<ScratchFolder> Asking::scratch_;

TEST_F(Asking, PrefixPlusSuffixIsTheWhole) {
  const std::vector<std::int64_t> more = bundle_.tokenizer().encode("cow cat");
  for (const Prompt& prompt :
       {sound_prompt(session_), prompt_for(session_, bundle_, kTinyTextQuestion, std::nullopt)}) {
    const Tensor whole = whole_logits(prompt, more);
    const auto total = whole.shape()[0];
    for (const std::int64_t from : {std::int64_t{0}, prompt.prefix_length(), prompt.length() - 1, prompt.length()})
      EXPECT_LT(gap(logits_of(session_, bundle_, prompt, more, from), whole.rows(from, total - from)), 1e-5) << from;
    // Cuts after the audio slots, one by one.
    for (std::int64_t cut = prompt.prefix_length(); cut < prompt.length(); cut += 3) {
      SuffixRequest suffix = suffix_request(session_, bundle_, prompt, more, cut);
      ASSERT_EQ(suffix.cut, cut);
      suffix.request.outputs = {"logits"};
      const Tensor logits = session_.run(suffix.graph, bundle_.parameters(), suffix.request)["logits"].tensor;
      EXPECT_LT(gap(logits.reshaped({total - cut, logits.shape().back()}), whole.rows(cut, total - cut)), 1e-5) << cut;
    }
  }
}

TEST_F(Asking, GenerationIsGreedyAndStopsAtTheLimit) {
  for (const double hertz : {180.0, 700.0}) {
    const Prompt prompt = sound_prompt(session_, hertz);
    const Answer given = answer(session_, bundle_, prompt, asking(5));
    std::vector<std::int64_t> expected;
    bool ended = false;
    while (!ended && expected.size() < 5) {
      const Tensor logits = whole_logits(prompt, expected);
      const float* row = logits.data<float>() + (logits.shape()[0] - 1) * logits.shape()[1];
      const std::int64_t next = std::max_element(row, row + logits.shape()[1]) - row;
      ended = std::find(bundle_.end_ids().begin(), bundle_.end_ids().end(), next) != bundle_.end_ids().end();
      if (!ended) expected.push_back(next);
    }
    EXPECT_EQ(given.ids, expected);
    EXPECT_EQ(given.hit_length_limit, !ended);
  }
}

// A head that always prefers one token: the end of the turn, or a letter.
Bundle preferring(const Bundle& bundle, std::int64_t id) {
  const Site head = bundle.site("decoder.head");
  // Along the last hidden state of any prompt the winner is decided by scale: every other row of the head is zeroed.
  const Tensor stored = bundle.view().master(head.weight);
  Tensor change = Tensor::zeros(DType::kF32, head.delta_shape);
  for (std::int64_t o = 0; o < head.out; ++o)
    for (std::int64_t i = 0; i < head.in; ++i) {
      const float now = stored.data<float>()[head.targets[0].transposed ? i * head.out + o : o * head.in + i];
      change.mutable_data<float>()[o * head.in + i] = o == id ? 0.0f : -now;
    }
  TensorDelta delta{head.name, head.delta_shape, DenseDelta{change}, head.targets};
  delta.targets[0].sha256 = bundle.view().payload_hash(head.weight);
  Patch patch;
  patch.method = "test";
  patch.graph_hash = bundle.view().graph_hash();
  patch.files = bundle.view().files();
  patch.deltas = {delta};
  return bundle.with(std::make_shared<const Patch>(patch));
}

TEST_F(Asking, GenerationStopsAtEveryEndToken) {
  // With all other logits 0 the preferred token wins where its own is positive; of many prompts some are so.
  for (const std::int64_t end : bundle_.end_ids()) {
    const Bundle edited = preferring(bundle_, end);
    int stopped = 0;
    for (int i = 0; i < 6; ++i) {
      const Prompt prompt = prompt_for(session_, edited, fmt::format("What is {}?", i), std::nullopt);
      const Tensor row = logits_of(session_, edited, prompt, {}, prompt.length() - 1);
      if (row.data<float>()[end] <= 0) continue;
      ++stopped;
      const Answer given = answer(session_, edited, prompt, asking(4));
      EXPECT_TRUE(given.ids.empty());
      EXPECT_EQ(given.text, "");
      EXPECT_FALSE(given.hit_length_limit);
    }
    EXPECT_GT(stopped, 0) << "no prompt of this test prefers token " << end;
  }
}

TEST_F(Asking, NoTokensWantedMeansNoneGenerated) {
  const Answer given = answer(session_, bundle_, sound_prompt(session_), asking(0));
  EXPECT_TRUE(given.ids.empty());
  EXPECT_FALSE(given.hit_length_limit);
}

TEST_F(Asking, OptionsAreScoredByTheWholeSequence) {
  for (const Prompt& prompt :
       {sound_prompt(session_), prompt_for(session_, bundle_, kTinyTextQuestion, std::nullopt)}) {
    const Answer given =
        answer(session_, bundle_, prompt, asking(0, {"cow", "elephant", "a loud quiet animal"}, "cat dog"));
    ASSERT_EQ(given.options.size(), 3U);
    for (const OptionLikelihood& option : given.options) {
      const std::vector<std::int64_t> ids = bundle_.tokenizer().encode(option.text);
      const Tensor logits = whole_logits(prompt, ids);
      double expected = 0;
      for (std::size_t t = 0; t < ids.size(); ++t)
        expected += log_probability(logits, prompt.length() - 1 + static_cast<std::int64_t>(t), ids[t]);
      EXPECT_NEAR(option.logprob_sum, expected, 1e-4 * std::abs(expected)) << option.text;
      EXPECT_EQ(option.tokens, static_cast<std::int64_t>(ids.size()));
      EXPECT_EQ(option.bytes, static_cast<std::int64_t>(option.text.size()));
    }
    std::vector<std::int64_t> forced = bundle_.tokenizer().encode("cat dog");
    forced.push_back(bundle_.end_ids()[0]);
    const Tensor logits = whole_logits(prompt, forced);
    double nll = 0;
    std::int64_t hits = 0;
    for (std::size_t t = 0; t < forced.size(); ++t) {
      const std::int64_t row = prompt.length() - 1 + static_cast<std::int64_t>(t);
      nll -= log_probability(logits, row, forced[t]) / static_cast<double>(forced.size());
      const float* values = logits.data<float>() + row * logits.shape()[1];
      hits += std::max_element(values, values + logits.shape()[1]) - values == forced[t];
    }
    EXPECT_NEAR(given.forced_nll, nll, 1e-4 * nll);
    EXPECT_EQ(given.forced_hits, hits);
    EXPECT_EQ(given.forced_tokens, static_cast<std::int64_t>(forced.size()));
    for (const std::int64_t id : {0, 65, 200})
      EXPECT_NEAR(given.first_token_logprobs[static_cast<std::size_t>(id)],
                  log_probability(logits, prompt.length() - 1, id), 1e-4);
  }
}

bool same_bits(const Answer& a, const Answer& b) {
  bool same = a.ids == b.ids && a.first_token_logprobs == b.first_token_logprobs && a.forced_nll == b.forced_nll &&
              a.options.size() == b.options.size();
  for (std::size_t i = 0; same && i < a.options.size(); ++i)
    same = a.options[i].logprob_sum == b.options[i].logprob_sum;
  return same;
}

TEST_F(Asking, TheBitsDependOnTheQuestionAlone) {
  AnswerOptions options = asking(4, {"cow", "cat"}, "dog");
  const Answer fresh = answer(session_, bundle_, sound_prompt(session_), options);
  for (const int threads : {1, 2, 4}) {
    for (const std::int64_t cache_bytes : {std::int64_t{0}, std::int64_t{20000}, std::int64_t{1} << 30}) {
      Session session({.threads = threads, .cache_bytes = cache_bytes});
      // Other questions first: longer, on another clip, scored, captured.
      answer(session, bundle_, sound_prompt(session, 700), options);
      answer(session, bundle_, prompt_for(session, bundle_, kTinyTextQuestion, std::nullopt), options);
      logits_of(session, bundle_, sound_prompt(session), bundle_.tokenizer().encode("cat dog"), 2);
      const Answer first = answer(session, bundle_, sound_prompt(session), options);
      const Answer again = answer(session, bundle_, sound_prompt(session), options);
      EXPECT_TRUE(same_bits(first, fresh)) << threads << " " << cache_bytes;
      EXPECT_TRUE(same_bits(again, fresh)) << threads << " " << cache_bytes;
      options.varying = {bundle_.site("decoder.block.1.mlp.down").weight};
      EXPECT_TRUE(same_bits(answer(session, bundle_, sound_prompt(session), options), fresh));
      options.varying.clear();
    }
  }
}

TEST_F(Asking, RefusesOptionsWithoutTokens) {
  EXPECT_THROW(answer(session_, bundle_, sound_prompt(session_), asking(0, {""})), Error);
}

// --- inspect --check
// ---------------------------------------------------------------------------------------------------

std::string first_failure(const std::vector<CheckResult>& results) {
  for (const CheckResult& result : results)
    if (!result.passed) return result.name;
  return "";
}

TEST_F(Asking, ASoundBundlePassesEveryCheck) {
  const auto results = check_bundle(session_, bundle_);
  EXPECT_GE(results.size(), 7U);
  for (const CheckResult& result : results) EXPECT_TRUE(result.passed) << result.name << ": " << result.detail;
  EXPECT_NO_THROW(require_checks(results));
}

TEST_F(Asking, NamesTheCheckThatNotANumberFails) {
  ScratchFolder scratch;
  fs::copy(*scratch_ / "bundle", scratch / "damaged", fs::copy_options::recursive);
  const Site site = bundle_.site("decoder.block.1.mlp.down");
  damage(scratch / "damaged/onnx/decoder_model_merged.onnx", site, '\xff');  // NaN
  const Bundle damaged = Bundle::open(scratch / "damaged");
  const auto results = check_bundle(session_, damaged);
  EXPECT_EQ(first_failure(results), "finite weights");
  EXPECT_TRUE(std::any_of(results.begin(), results.end(),
                          [](const CheckResult& result) { return result.name == "finite logits" && !result.passed; }));
  const std::string message = error_of([&] { require_checks(results); }, ErrorCode::kProof);
  EXPECT_THAT(message, HasSubstr("finite weights: tensor '" + site.targets[0].initializer + "'"));
  EXPECT_THAT(message, HasSubstr("decoder_model_merged.onnx holds NaN"));
}

// A model with NaN in its weights answered with nonsense and exit code 0.
TEST_F(Asking, LogitsThatAreNoNumbersAreNoAnswer) {
  ScratchFolder scratch;
  fs::copy(*scratch_ / "bundle", scratch / "damaged", fs::copy_options::recursive);
  damage(scratch / "damaged/onnx/decoder_model_merged.onnx", bundle_.site("decoder.block.1.mlp.down"), '\xff');
  const Bundle damaged = Bundle::open(scratch / "damaged");
  const Prompt prompt = prompt_for(session_, damaged, kTinyQuestion, tone(180));
  for (const AnswerOptions& options : {asking(4), asking(0, {"cow"}), asking(0, {}, "cow")}) {
    const std::string message = error_of([&] { answer(session_, damaged, prompt, options); }, ErrorCode::kFailure);
    EXPECT_THAT(message, HasSubstr((scratch / "damaged").string() + " gives logits that are NaN or infinite"));
  }
}

// NaN in an embedding row that no check asks for passed inspect --check and was edited.
TEST_F(Asking, AWeightThatNoQuestionReadsIsCheckedToo) {
  ScratchFolder scratch;
  fs::copy(*scratch_ / "bundle", scratch / "damaged", fs::copy_options::recursive);
  const fs::path file = scratch / "damaged/onnx/embed_tokens.onnx";
  std::string bytes = bytes_of(file);
  const auto& parameters = bundle_.parameters();
  const auto table = std::find_if(parameters.begin(), parameters.end(), [](const auto& item) {
    return item.first.find("embed") != std::string::npos && item.second.tensor.shape().rank() == 2;
  });
  ASSERT_NE(table, parameters.end());
  const Tensor& rows = table->second.tensor;
  const std::size_t at = bytes.find(std::string(reinterpret_cast<const char*>(rows.raw()), rows.bytes()));
  ASSERT_NE(at, std::string::npos);
  const float infinity = INFINITY;  // in the last row, a special token's
  std::memcpy(bytes.data() + at + rows.bytes() - sizeof infinity, &infinity, sizeof infinity);
  write_file_atomically(file, bytes);
  const auto results = check_bundle(session_, Bundle::open(scratch / "damaged"));
  EXPECT_EQ(first_failure(results), "finite weights");
  EXPECT_THAT(results[0].detail, HasSubstr("embed_tokens.onnx holds infinity"));
}

// A deeply nested config.json ended the program with SIGSEGV; values of another type were called a fault of Retune.
TEST_F(Asking, ConfigurationsThatAreNoneAreNamed) {
  ScratchFolder scratch;
  fs::copy(*scratch_ / "bundle", scratch / "odd", fs::copy_options::recursive);
  const fs::path file = scratch / "odd/config.json";
  const auto refused = [&](const std::string& text) {
    write_file_atomically(file, text);
    return error_of([&] { Bundle::open(scratch / "odd"); });
  };
  constexpr std::size_t kDeep = 200'000;
  EXPECT_THAT(refused("{\"a\":" + std::string(kDeep, '[') + std::string(kDeep, ']') + "}"),
              HasSubstr(file.string() + ": nested more than"));
  EXPECT_THAT(refused("[]"), HasSubstr(file.string() + ": expected a JSON object, got array"));
  EXPECT_THAT(refused("null"), HasSubstr("expected a JSON object, got null"));
  EXPECT_THAT(refused("{\"model_type\": 5, \"eos_token_id\": 1, \"audio_token_index\": 1}"),
              HasSubstr("'model_type': expected text, got number"));
  EXPECT_THAT(refused("{\"model_type\": "), HasSubstr(file.string() + ": not valid JSON at byte 16 of 15"));
}

// A question of more tokens than the decoder has positions was answered with garbage.
TEST_F(Asking, APromptLongerThanTheModelsPositionsIsRefused) {
  EXPECT_EQ(bundle_.decoder().positions, 2048);
  std::string question;
  for (int i = 0; i < 3000; ++i) question += "cow ";
  const Prompt prompt = prompt_for(session_, bundle_, question, std::nullopt);
  const std::string message = error_of([&] { answer(session_, bundle_, prompt, asking(1)); });
  EXPECT_THAT(message, HasSubstr("is longer than the 2048 positions of the decoder"));
  EXPECT_THAT(message, HasSubstr((*scratch_ / "bundle/config.json").string()));
}

TEST_F(Asking, GenerationStopsAtTheLastPosition) {
  ScratchFolder scratch;
  fs::copy(*scratch_ / "bundle", scratch / "short", fs::copy_options::recursive);
  const Prompt prompt = sound_prompt(session_);
  const Answer whole = answer(session_, bundle_, prompt, asking(8));
  ASSERT_GE(whole.ids.size(), 5U);
  std::string config = bytes_of(scratch / "short/config.json");
  const std::string stated = "\"max_position_embeddings\": 2048";
  ASSERT_NE(config.find(stated), std::string::npos);
  config.replace(config.find(stated), stated.size(),
                 fmt::format("\"max_position_embeddings\": {}", prompt.length() + 3));
  write_file_atomically(scratch / "short/config.json", config);
  const Answer cut = answer(session_, Bundle::open(scratch / "short"), prompt, asking(8));
  EXPECT_TRUE(cut.hit_length_limit);
  // The token after the last position can still be predicted.
  EXPECT_EQ(cut.ids, std::vector<std::int64_t>(whole.ids.begin(), whole.ids.begin() + 4));
}

TEST_F(Asking, PositionsAreCountedAsRopeScalingStretchesThem) {
  ScratchFolder scratch;
  fs::copy(*scratch_ / "bundle", scratch / "scaled", fs::copy_options::recursive);
  const std::string config = bytes_of(scratch / "scaled/config.json");
  const std::string stated = "\"max_position_embeddings\": 2048";
  const auto positions = [&](const std::string& also) {
    std::string changed = config;
    changed.replace(changed.find(stated), stated.size(), stated + also);
    write_file_atomically(scratch / "scaled/config.json", changed);
    return Bundle::open(scratch / "scaled").decoder().positions;
  };
  EXPECT_EQ(positions(""), 2048);
  EXPECT_EQ(positions(R"(, "rope_scaling": null)"), 2048);
  EXPECT_EQ(positions(R"(, "rope_scaling": {"type": "linear", "factor": 4.0})"), 8192);
  EXPECT_EQ(positions(R"(, "rope_scaling": {"factor": 8.0, "original_max_position_embeddings": 256})"), 2048);
  EXPECT_EQ(positions(R"(, "rope_scaling": {"factor": 4.0, "original_max_position_embeddings": 2048})"), 8192);
}

// "log-mel: the sound is too short" did not say which of a thousand clips.
TEST_F(Asking, AClipThatIsTooShortIsNamed) {
  ScratchFolder scratch;
  save_waveform(scratch / "click.wav", {std::vector<float>(1, 0.5f), 16000});
  EXPECT_THAT(error_of([&] { audio_feed(bundle_, scratch / "click.wav"); }),
              HasSubstr((scratch / "click.wav").string() + ": log-mel: the sound is too short"));
}

TEST_F(Asking, NamesTheCheckThatASmallerVocabularyFails) {
  // Embedding and head of a model with fewer tokens than the tokenizer has.
  ScratchFolder scratch;
  TinyBundleOptions options;
  write_tiny_bundle(scratch / "damaged", options);
  LalmShape shape = tiny_shape();
  shape.vocabulary = bundle_.tokenizer().vocabulary_size() - 1;
  const BuiltGraph decoder = build_decoder(shape, drawn_weights(Rng(1)));
  export_onnx(decoder.graph, decoder.parameters, scratch / "damaged/onnx/decoder_model_merged.onnx");
  EXPECT_EQ(first_failure(check_bundle(session_, Bundle::open(scratch / "damaged"))), "vocabulary");
}

TEST_F(Asking, APlaceholderThatTheTokenizerDoesNotKnowIsNamed) {
  ScratchFolder scratch;
  fs::copy(*scratch_ / "bundle", scratch / "damaged", fs::copy_options::recursive);
  write_file_atomically(scratch / "damaged/processor_config.json", R"({"audio_placeholder": "<|sound|>"})");
  try {
    check_bundle(session_, Bundle::open(scratch / "damaged"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    EXPECT_THAT(error.what(), HasSubstr("<|sound|>"));
  }
}

TEST_F(Asking, APlaceholderTooFewOrTooManyIsAnError) {
  for (const int change : {-1, 1}) {
    Prompt prompt = sound_prompt(session_);
    const std::int64_t slot = prompt.ids[static_cast<std::size_t>(prompt.audio_rows.back())];
    if (change < 0) {
      prompt.ids.erase(prompt.ids.begin() + prompt.audio_rows.back());
      prompt.audio_rows.pop_back();
    } else {
      prompt.audio_rows.push_back(prompt.audio_rows.back() + 1);
      prompt.ids.insert(prompt.ids.begin() + prompt.audio_rows.back(), slot);
    }
    try {
      logits_of(session_, bundle_, prompt, {}, 0);
      FAIL() << change;
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      EXPECT_THAT(error.what(), HasSubstr("ScatterND"));
    }
  }
}

}  // namespace
}  // namespace retune
