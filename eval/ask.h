// Probes to prompts to answers.
//
//   std::vector<Asked> before = ask(session, base, probes, settings);
//   std::vector<Asked> after = ask(session, base.with(patch), probes, settings);   // recomputes only what the patch
//   can reach AnswerRecord record = pair_up(probes[0], &request, &before[0], &after[0], settings);
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "eval/answer_record.h"
#include "facts/edit_request.h"
#include "facts/probe.h"
#include "lalm/answer.h"

namespace retune {

struct AskSettings {
  std::int64_t max_new_tokens = 256;  // of greedy generation; 0: options only
  // Parameters that later questions will see changed (lalm/answer.h); of no influence on any answer.
  std::vector<std::string> varying;
};

struct Asked {
  ProbeAnswer answer;
  std::vector<float> first_token_logprobs;  // [V], natural
  std::string clip_hash;                    // of the sound file; empty for text alone
};

// How many clips' features stay in memory while probes are asked.
inline constexpr std::size_t kClipsKept = 16;

// Answers in the order of the probes. A clip is read once for probes with fewer than kClipsKept others between them.
// `asked` is called after each probe with how many are
// done; what it throws ends the asking. User errors name probe and clip.
std::vector<Asked> ask(Session& session, const Bundle& bundle, std::span<const Probe> probes,
                       const AskSettings& settings, const std::function<void(std::size_t done)>& asked = {});

// The record of one probe with its verdicts. Either answer may be null, not both; `request` is null for plain probes.
// The divergence of the first answer token is KL(before || after).
AnswerRecord pair_up(const Probe& probe, const EditRequest* request, const Asked* before, const Asked* after,
                     const AskSettings& settings);

// Identifies how answers were made: two answers may be compared only if these agree.
std::string decoding_hash(const AskSettings& settings);

}  // namespace retune
