// Trust before the first edit (architecture decision 15): does Retune read this model rightly? Each check asks the
// model the same thing in two ways that must agree, or looks at an answer that must make sense.
#pragma once

#include <string>
#include <vector>

#include "audio/waveform.h"
#include "graph/session.h"
#include "lalm/bundle.h"

namespace retune {

// Two seconds of a rising tone, for questions to which any sound will do, as long as it is not silence.
Waveform test_tone(int rate_hz);

struct CheckResult {
  std::string name;  // "prefix and suffix", ...
  bool passed = false;
  std::string detail;  // one line: the figure, and what to do where it failed
};

// Two lengths (a prompt and a longer one agree on their common rows), two batch sizes (a row alone and doubled), whole
// against prefix plus suffix, finite weights (all of them are read), finite logits, one placeholder per encoder row,
// the logits' width against the tokenizer, a site's weight times its captured key against its captured value. Tolerance
// 1e-3 of the range, as for other runtimes; 2^-9 and 2^-6 where activations are f16 and bf16.
std::vector<CheckResult> check_bundle(Session& session, const Bundle& bundle, const WorkObserver& observer = {});

// The largest difference of two tensors' numbers, whatever their shapes, relative to the range of the finite ones of
// `measured`. Equal numbers, and NaN beside NaN, do not differ; infinity where the counts differ, where there is
// nothing to compare, or where one number is finite and the other is not.
double range_difference(const Tensor& measured, const Tensor& other);

// proof_error (exit 4) naming the first failed check; nothing if all passed.
void require_checks(const std::vector<CheckResult>& results);

}  // namespace retune
