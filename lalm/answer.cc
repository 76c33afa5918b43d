#include "lalm/answer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lalm/context.h"
#include "lalm/segment.h"
#include "lalm/token_stepper.h"
#include "tensor/error.h"

namespace retune {

namespace {

// The cache after the first `length` ids: what all questions share, what the clip's share, then the rest.
Past cache_after(Session& session, const Bundle& bundle, const Prompt& prompt, const std::vector<std::int64_t>& ids,
                 std::int64_t length, const std::vector<std::string>& varying) {
  Segment segment{.begin = bundle.per_call() ? 0 : prompt.cut_below(length), .end = length};
  if (segment.begin > 0) segment.past = cache_after(session, bundle, prompt, ids, segment.begin, varying);
  SuffixRequest prefix = segment_request(bundle, prompt, ids, segment, varying);
  ask_for_cache(bundle, prefix.request);
  prefix.request.keep_outputs = true;
  return past_from(bundle, session.run(prefix.graph, bundle.parameters(), prefix.request));
}

std::vector<std::int64_t> joined(const Prompt& prompt, const std::vector<std::int64_t>& continuation) {
  std::vector<std::int64_t> ids = prompt.ids;
  ids.insert(ids.end(), continuation.begin(), continuation.end());
  return ids;
}

Tensor joined_rows(const Tensor& first, const Tensor& second) {
  Tensor result = Tensor::empty(first.dtype(), {first.shape()[0] + second.shape()[0], first.shape()[1]});
  std::copy_n(first.raw(), first.bytes(), result.mutable_raw());
  std::copy_n(second.raw(), second.bytes(), result.mutable_raw() + first.bytes());
  return result;
}

// Logits that are no numbers have no best token and no likelihood: whatever was made of them would look like an answer.
[[noreturn]] void reject_logits(const Bundle& bundle) {
  const std::size_t patches = bundle.view().patches().size();
  if (patches > 0)
    throw failure(
        "{}, edited by {} patches, gives logits that are NaN or infinite: the edit broke it; edit with fewer steps, a "
        "lower learning rate or a tighter bound",
        bundle.folder().string(), patches);
  throw failure(
      "{} gives logits that are NaN or infinite: its weights are damaged, or f16 overflows; see retune inspect --check",
      bundle.folder().string());
}

// Natural log-softmax of one row of logits, in f64. A failure if one is NaN or above all numbers; -inf is a token that
// the model rules out.
std::vector<double> log_softmax(const Bundle& bundle, const Tensor& logits, std::int64_t row) {
  const Tensor wide = logits.cast(DType::kF32);
  const std::int64_t vocabulary = wide.shape().back();
  const float* data = wide.data<float>() + row * vocabulary;
  const double highest = *std::max_element(data, data + vocabulary);
  double sum = 0;
  for (std::int64_t v = 0; v < vocabulary; ++v) sum += std::exp(static_cast<double>(data[v]) - highest);
  if (!std::isfinite(sum)) reject_logits(bundle);
  std::vector<double> result(static_cast<std::size_t>(vocabulary));
  for (std::int64_t v = 0; v < vocabulary; ++v)
    result[static_cast<std::size_t>(v)] = static_cast<double>(data[v]) - highest - std::log(sum);
  return result;
}

// The first of the highest; a failure as log_softmax.
std::int64_t argmax(const Bundle& bundle, const Tensor& logits, std::int64_t row) {
  const Tensor wide = logits.cast(DType::kF32);
  const std::int64_t vocabulary = wide.shape().back();
  const float* data = wide.data<float>() + row * vocabulary;
  std::int64_t best = 0;
  bool numbers = true;
  for (std::int64_t v = 0; v < vocabulary; ++v) {
    numbers = numbers && !std::isnan(data[v]);
    if (data[v] > data[best]) best = v;
  }
  if (!numbers || !std::isfinite(data[best])) reject_logits(bundle);
  return best;
}

// A prompt read once: the logits of its last row, and the cache behind it for every continuation.
struct Prefill {
  Tensor logits;  // [1, V], of the last row: predicts the first answer token
  Past past;
};

class Continuations {
 public:
  Continuations(Session& session, const Bundle& bundle, const Prompt& prompt, const std::vector<std::string>& varying)
      : session_(session), bundle_(bundle), prompt_(prompt), varying_(varying) {
    SuffixRequest suffix = suffix_request(session, bundle, prompt, {}, prompt.prefix_length(), varying);
    suffix.request.outputs.push_back("logits");
    suffix.request.rows["logits"] = {prompt.length() - suffix.cut - 1};
    ask_for_cache(bundle, suffix.request);
    suffix.request.keep_outputs = true;
    const Results results = session.run(suffix.graph, bundle.parameters(), suffix.request);
    prefill_ = {results["logits"].tensor, past_from(bundle, results)};
  }

  const Prefill& prefill() const { return prefill_; }
  const Tensor& first_row() const { return prefill_.logits; }

  // Logits [ids.size(), V] after each of the ids that continue the prompt; without a cache the whole is read again.
  Tensor after(const std::vector<std::int64_t>& ids) const {
    if (bundle_.decoder().caches.empty()) return logits_of(session_, bundle_, prompt_, ids, prompt_.length(), varying_);
    const std::vector<std::int64_t> all = joined(prompt_, ids);
    SuffixRequest request = segment_request(
        bundle_, prompt_, all,
        {.begin = prompt_.length(), .end = static_cast<std::int64_t>(all.size()), .past = prefill_.past}, varying_);
    request.request.outputs.push_back("logits");
    const Tensor logits = session_.run(request.graph, bundle_.parameters(), request.request)["logits"].tensor;
    return logits.reshaped({logits.shape()[1], logits.shape()[2]});
  }

 private:
  Session& session_;
  const Bundle& bundle_;
  const Prompt& prompt_;
  const std::vector<std::string>& varying_;
  Prefill prefill_;
};

std::int64_t parts_of(const AnswerOptions& options) {
  return options.max_new_tokens + static_cast<std::int64_t>(options.options.size()) + (options.expected ? 1 : 0);
}

void generate(Session& session, const Bundle& bundle, const Prompt& prompt, const AnswerOptions& options,
              const Continuations& read, Answer& answer) {
  const auto ends = [&](std::int64_t id) {
    return std::find(bundle.end_ids().begin(), bundle.end_ids().end(), id) != bundle.end_ids().end();
  };
  const std::int64_t positions = bundle.decoder().positions;
  Tensor row = read.first_row();
  TokenStepper stepper(session, bundle, prompt, options.varying, read.prefill().past);
  while (true) {
    const std::int64_t next = argmax(bundle, row, row.shape()[0] - 1);
    if (ends(next)) break;
    if (static_cast<std::int64_t>(answer.ids.size()) == options.max_new_tokens) {
      answer.hit_length_limit = true;
      break;
    }
    answer.ids.push_back(next);
    if (options.observer) options.observer(static_cast<std::int64_t>(answer.ids.size()), parts_of(options));
    if (positions > 0 && prompt.length() + static_cast<std::int64_t>(answer.ids.size()) > positions) {
      answer.hit_length_limit = true;  // the decoder has no position left to read this token at
      break;
    }
    if (bundle.decoder().caches.empty()) {
      row = read.after(answer.ids);
      continue;
    }
    row = stepper.step(next);
  }
  answer.text = bundle.tokenizer().decode(answer.ids, {.skip_special = true});
  const std::size_t begin = answer.text.find_first_not_of(" \t\r\n");
  const std::size_t end = answer.text.find_last_not_of(" \t\r\n");
  answer.text = begin == std::string::npos ? "" : answer.text.substr(begin, end - begin + 1);
}

struct Forced {
  double logprob = 0;
  std::int64_t hits = 0;
};

Forced force(const Bundle& bundle, const Continuations& read, const std::vector<std::int64_t>& ids) {
  Forced forced;
  const Tensor first = read.first_row();
  Tensor rest;
  if (ids.size() > 1) rest = read.after({ids.begin(), ids.end() - 1});
  for (std::size_t t = 0; t < ids.size(); ++t) {
    const Tensor& logits = t == 0 ? first : rest;
    const auto row = t == 0 ? std::int64_t{0} : static_cast<std::int64_t>(t) - 1;
    if (ids[t] >= logits.shape().back())
      throw user_error("token {} is beyond the model's {} logits", ids[t], logits.shape().back());
    forced.logprob += log_softmax(bundle, logits, row)[static_cast<std::size_t>(ids[t])];
    forced.hits += argmax(bundle, logits, row) == ids[t] ? 1 : 0;
  }
  return forced;
}

}  // namespace

Feed audio_feed(const Bundle& bundle, const Waveform& clip) {
  const Tensor features = bundle.front_end().features(clip, bundle.padding()).values;
  const Shape& shape = features.shape();
  const Graph& graph = *bundle.graph();
  const DType type = graph.value(graph.require("audio_values")).dtype;
  Feed audio{features.reshaped({1, shape[0], shape[1]}).cast(type), {}};
  audio.version = version_of(audio.tensor);
  return audio;
}

Feed audio_feed(const Bundle& bundle, const std::filesystem::path& clip) {
  const Waveform sound = load_waveform(clip);
  try {
    return audio_feed(bundle, sound);
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}: {}", clip.string(), error.what()));
  }
}

std::int64_t encoder_rows(Session& session, const Bundle& bundle, const Feed& audio,
                          const std::vector<std::string>& varying) {
  Request request;
  request.cache = Request::Cache::kUse;
  request.keep_outputs = true;
  request.varying = varying;
  request.inputs["audio_values"] = audio;
  request.outputs = {"audio_features"};
  return session.run(bundle.graph(), bundle.parameters(), request)["audio_features"].tensor.shape()[0];
}

Prompt prompt_for(Session& session, const Bundle& bundle, const std::string& question, const Feed& audio,
                  const AnswerOptions& options) {
  if (const HeardContext* context = bundle.context())
    return prompt_in_context(session, bundle, *context, question, audio, options.varying);
  std::vector<std::int64_t> rows;
  if (audio.tensor.defined()) rows.push_back(encoder_rows(session, bundle, audio, options.varying));
  Prompt prompt = make_prompt(bundle.tokenizer(), bundle.chat(), bundle.placeholder(), question, rows);
  prompt.audio = audio;
  return prompt;
}

Prompt prompt_for(Session& session, const Bundle& bundle, const std::string& question,
                  const std::optional<Waveform>& clip, const AnswerOptions& options) {
  return prompt_for(session, bundle, question, clip ? audio_feed(bundle, *clip) : Feed{}, options);
}

SuffixRequest suffix_request(Session& session, const Bundle& bundle, const Prompt& prompt,
                             const std::vector<std::int64_t>& continuation, std::int64_t cut,
                             const std::vector<std::string>& varying) {
  const std::vector<std::int64_t> ids = joined(prompt, continuation);
  const bool whole = bundle.decoder().caches.empty() || (bundle.per_call() && cut < prompt.length());
  Segment segment{.begin = whole ? 0 : cut, .end = static_cast<std::int64_t>(ids.size())};
  if (segment.begin > 0) segment.past = cache_after(session, bundle, prompt, ids, segment.begin, varying);
  return segment_request(bundle, prompt, ids, segment, varying);
}

Tensor logits_of(Session& session, const Bundle& bundle, const Prompt& prompt,
                 const std::vector<std::int64_t>& continuation, std::int64_t from,
                 const std::vector<std::string>& varying) {
  const bool continues = bundle.per_call() && !continuation.empty() && !bundle.decoder().caches.empty();
  if (continues && from < prompt.length())  // as a client reads it: the prompt, then the continuation
    return joined_rows(logits_of(session, bundle, prompt, {}, from, varying),
                       logits_of(session, bundle, prompt, continuation, prompt.length(), varying));
  const std::int64_t cut = continues ? prompt.length() : std::min(from, prompt.prefix_length());
  SuffixRequest suffix = suffix_request(session, bundle, prompt, continuation, cut, varying);
  suffix.request.outputs.push_back("logits");
  std::vector<std::int64_t>& rows = suffix.request.rows["logits"];
  rows.resize(static_cast<std::size_t>(prompt.length() - from) + continuation.size());
  std::iota(rows.begin(), rows.end(), from - suffix.cut);
  return session.run(suffix.graph, bundle.parameters(), suffix.request)["logits"].tensor;
}

Answer answer(Session& session, const Bundle& bundle, const Prompt& prompt, const AnswerOptions& options) {
  Answer result;
  const Continuations read(session, bundle, prompt, options.varying);
  const std::vector<double> first = log_softmax(bundle, read.first_row(), 0);
  result.first_token_logprobs.assign(first.begin(), first.end());
  const auto tell = [&options](std::int64_t done) {
    if (options.observer) options.observer(done, parts_of(options));
  };
  tell(0);
  if (options.max_new_tokens > 0) generate(session, bundle, prompt, options, read, result);
  for (const std::string& option : options.options) {
    tell(options.max_new_tokens + static_cast<std::int64_t>(result.options.size()));
    const std::vector<std::int64_t> ids = bundle.tokenizer().encode(option);
    if (ids.empty()) throw user_error("the option '{}' has no tokens", option);
    result.options.push_back({option, force(bundle, read, ids).logprob, static_cast<std::int64_t>(ids.size()),
                              static_cast<std::int64_t>(option.size())});
  }
  if (options.expected) {
    std::vector<std::int64_t> ids = bundle.tokenizer().encode(*options.expected);
    ids.push_back(bundle.end_ids()[0]);
    const Forced forced = force(bundle, read, ids);
    result.forced_hits = forced.hits;
    result.forced_tokens = static_cast<std::int64_t>(ids.size());
    result.forced_nll = -forced.logprob / static_cast<double>(ids.size());
  }
  return result;
}

}  // namespace retune
