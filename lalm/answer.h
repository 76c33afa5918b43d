// Asking a model: greedy generation and the likelihood of given options, by prefill of the prompt and continuation with
// the cache.
//
// A prompt is evaluated as prefix plus suffix through the decoder's own past_key_values. The prefix ends after the last
// audio slot, so all questions on one clip share it, and all options share the whole prompt; the Session keeps both.
// The cut depends on the prompt alone, never on what is cached, so neither do the bits. A model in which something
// depends on where a call begins or ends (Bundle::per_call) reads the whole prompt in one call, then the continuation,
// as any client would.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "audio/waveform.h"
#include "graph/session.h"
#include "lalm/bundle.h"
#include "lalm/prompt.h"

namespace retune {

struct OptionLikelihood {
  std::string text;
  double logprob_sum = 0;  // natural logarithm, end of turn not counted
  std::int64_t tokens = 0;
  std::int64_t bytes = 0;  // of UTF-8
};

struct Answer {
  std::vector<std::int64_t> ids;  // generated, the end token not included
  std::string text;               // decoded, special tokens skipped, blanks trimmed at both ends
  bool hit_length_limit = false;  // max_new_tokens, or the decoder's last position
  std::vector<OptionLikelihood> options;
  // Teacher forcing of the expected answer (end of turn included), where one was given.
  std::int64_t forced_hits = 0, forced_tokens = 0;
  double forced_nll = 0;                    // mean over its tokens
  std::vector<float> first_token_logprobs;  // [V], for the locality divergence
};

struct AnswerOptions {
  std::int64_t max_new_tokens = 256;
  std::vector<std::string> options;     // to score, as printed in the question
  std::optional<std::string> expected;  // to force
  // Parameters (linked names) that later questions will see changed: what they do not reach is kept. Editors' sites,
  // usually.
  std::vector<std::string> varying;
  // Counts, of generated tokens at most, options and the expected answer, what is done; the reading of the prompt is 0.
  WorkObserver observer;
};

// The prompt of a question, with the clip's features from the bundle's front-end. The encoder is run once (and kept) to
// learn how many placeholders the clip gets. Where patches of the bundle say something before every question
// (Patch::context), so does the prompt: lalm/context.h.
Prompt prompt_for(Session& session, const Bundle& bundle, const std::string& question,
                  const std::optional<Waveform>& clip, const AnswerOptions& options = {});

// A clip as the bundle's encoder reads it: [1, mels, F] of the type that it declares. Asking several questions on one
// clip, compute it once.
Feed audio_feed(const Bundle& bundle, const Waveform& clip);
Feed audio_feed(const Bundle& bundle, const std::filesystem::path& clip);  // load_waveform, then the same
// How many rows the encoder makes of a clip, each of which gets a placeholder.
std::int64_t encoder_rows(Session& session, const Bundle& bundle, const Feed& audio,
                          const std::vector<std::string>& varying = {});
Prompt prompt_for(Session& session, const Bundle& bundle, const std::string& question, const Feed& audio,
                  const AnswerOptions& options = {});

// User errors: an option without tokens, more tokens than the decoder has positions (DecoderInterface::positions).
// Failure: logits that are NaN or infinite, which no answer can be made of.
Answer answer(Session& session, const Bundle& bundle, const Prompt& prompt, const AnswerOptions& options);

// Logits f32 [ids.size() - from, V] of the rows from position `from` on, of the prompt extended by `continuation`: row
// i predicts the token after it. Evaluated as prefix [0, cut) and suffix [cut, end), cut = min(from,
// prompt.prefix_length() or as given).
Tensor logits_of(Session& session, const Bundle& bundle, const Prompt& prompt,
                 const std::vector<std::int64_t>& continuation, std::int64_t from,
                 const std::vector<std::string>& varying = {});

// Everything that a request about the suffix [cut, end) of a prompt needs: the linked graph, and as inputs the ids from
// `cut` on, mask, positions and the prefix's cache, which is computed (or found) by this call. cut = 0: the whole
// prompt with its audio and an empty cache; so it is for any cut inside the prompt where Bundle::per_call. Editors add
// their loss, interventions and leaves to it.
struct SuffixRequest {
  std::shared_ptr<const Graph> graph;
  Request request;  // inputs filled in; cache on; outputs empty
  std::int64_t cut = 0;
};
SuffixRequest suffix_request(Session& session, const Bundle& bundle, const Prompt& prompt,
                             const std::vector<std::int64_t>& continuation, std::int64_t cut,
                             const std::vector<std::string>& varying = {});

}  // namespace retune
