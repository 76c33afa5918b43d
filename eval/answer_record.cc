#include "eval/answer_record.h"

#include "facts/option_list.h"

namespace retune {

AnswerRecord describe(const Probe& probe, const EditRequest* request) {
  AnswerRecord record;
  record.probe_id = probe.id;
  record.request_id = probe.request_id;
  record.attribute = probe.attribute;
  if (request) {
    record.old_label = request->old_label;
    record.new_label = request->new_label;
    record.scope = request->scope;
  }
  record.kind = probe.kind;
  record.type = probe.type;
  record.track = probe.track;
  if (probe.clip) record.clip = probe.clip->name();
  record.question = probe.question;
  record.options = probe.options;
  record.expected = probe.answer;
  return record;
}

bool shares_old_answer(const AnswerRecord& record) {
  return record.kind == ProbeKind::kAudioLocality && !record.old_label.empty() && record.track == record.attribute &&
         same_label(record.expected, record.old_label);
}

}  // namespace retune
