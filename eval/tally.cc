#include "eval/tally.h"

#include <fmt/format.h>

namespace retune {

bool is_item_at_any_gap(const Metric& metric, const AnswerRecord& record) {
  return record.kind == metric.kind && (metric.type == 0 || record.type == metric.type);
}

bool is_item(const Metric& metric, const AnswerRecord& record) {
  const bool at_its_edit = !record.step || record.step->edits_applied == record.step->position;
  return at_its_edit && is_item_at_any_gap(metric, record);
}

std::optional<bool> counted(const Metric& metric, const Verdict& verdict) {
  return counts_consistency(metric.kind) ? verdict.consistent : verdict.right_after;
}

std::string cluster_of(const Metric& metric, const AnswerRecord& record) {
  if (record.step) return fmt::format("sequence {}", record.step->sequence);
  if (metric.kind == ProbeKind::kGenerality && metric.type >= 2)
    return record.clip_hash.empty() ? record.clip : record.clip_hash;
  return record.request_id.empty() ? record.probe_id : record.request_id;
}

}  // namespace retune
