// Everything that one probe brought, before and after an edit: enough to compute every metric again without the model
// or the facts (decision 12 of docs/architecture.md). Plain values; reading and writing is answer_log.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "facts/edit_request.h"
#include "facts/probe.h"

namespace retune {

// log p(option | prompt), the option's tokens at the first positions of the assistant's turn, EOS left out.
struct OptionScore {
  std::string text;        // as printed in the question
  double logprob_sum = 0;  // nats; -inf and NaN are allowed and survive the file
  int tokens = 0;
  int bytes = 0;  // of the option's UTF-8

  friend bool operator==(const OptionScore&, const OptionScore&) = default;
};

// What one model answered to one probe.
struct ProbeAnswer {
  std::vector<std::int64_t> ids;  // generated, without the end token
  std::string text;               // decoded; bytes that are no UTF-8 are written to files as U+FFFD
  bool hit_length_limit = false;
  std::vector<OptionScore> option_scores;  // in the probe's order; empty if options were not scored
  int teacher_forced_hits = 0;             // tokens of the expected answer that are the argmax given the ones before
  int teacher_forced_tokens = 0;           // 0 if not measured

  friend bool operator==(const ProbeAnswer&, const ProbeAnswer&) = default;
};

// Where in a sequence of edits the probe was asked.
struct SequenceStep {
  int sequence = 0;  // from 0
  int position = 0;  // of the probe's own edit, from 1
  int edits_applied =
      0;  // when `after` was asked; gap = edits_applied - position, -1 for the question before its own edit

  friend bool operator==(const SequenceStep&, const SequenceStep&) = default;
};

// One judge's opinion. Absent: it could not judge (no answer, no option scores, no old label).
struct Verdict {
  std::string judge;  // "J1", ...
  int version = 0;
  std::optional<bool> right_before;  // names the expected answer
  std::optional<bool> right_after;
  std::optional<bool> consistent;  // says the same before and after
  std::optional<bool> old_before;  // names the old label
  std::optional<bool> old_after;

  friend bool operator==(const Verdict&, const Verdict&) = default;
};

struct AnswerRecord {
  std::string probe_id;
  std::string request_id;  // empty for plain probes
  std::string attribute;
  std::string old_label;
  std::string new_label;
  std::optional<Scope> scope;  // absent for plain probes
  ProbeKind kind = ProbeKind::kPlain;
  int type = 0;
  std::string track;
  std::string clip;       // Clip::name(); empty for text alone
  std::string clip_hash;  // 64 hexadecimal digits; empty for text alone
  std::string question;
  std::vector<std::string> options;
  std::string expected;
  std::optional<SequenceStep> step;  // sequential mode only

  // `before` is the unedited model. Of a model asked alone (no base known) the answer is in `after`. At least one is
  // there.
  std::optional<ProbeAnswer> before;
  std::optional<ProbeAnswer> after;
  // KL(before || after) of the first answer token's distribution over the vocabulary, in nats.
  std::optional<double> first_token_kl;
  std::string decoding_hash;  // of the decoding settings, the same for both answers
  std::vector<Verdict> verdicts;

  friend bool operator==(const AnswerRecord&, const AnswerRecord&) = default;
};

// The question is about the edited attribute and its truth is the old label, which a locality item's should not be: an
// edit of scope label is meant to change the answer, one of scope clip to leave it.
bool shares_old_answer(const AnswerRecord& record);

// What is known before asking: identity, labels, question. `request` may be null for plain probes. `clip_hash` stays
// empty.
AnswerRecord describe(const Probe& probe, const EditRequest* request);

}  // namespace retune
