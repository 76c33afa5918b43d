// Which answers a metric counts, as what, and which of them hang together. Shared by score() and compare().
#pragma once

#include <optional>
#include <string>

#include "eval/answer_record.h"
#include "eval/metric.h"

namespace retune {

// The probe is of the metric's kind and type and, in sequential answers, was asked right after its own edit (gap 0).
bool is_item(const Metric& metric, const AnswerRecord& record);
// The same at any gap.
bool is_item_at_any_gap(const Metric& metric, const AnswerRecord& record);

// Whether the metric counts the answer; absent if the verdict cannot say.
std::optional<bool> counted(const Metric& metric, const Verdict& verdict);

// Name of the cluster that a bootstrap draws whole (methods.md 8.9): the sequence; the clip for generality 2 and 3; the
// edit; for plain probes the probe.
std::string cluster_of(const Metric& metric, const AnswerRecord& record);

}  // namespace retune
