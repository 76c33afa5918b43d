#include "facts/demonstrations.h"

#include <set>
#include <string>

#include "tensor/error.h"

namespace retune {

Corpus demonstrations_of(const FactSet& facts) {
  std::vector<CorpusItem> items;
  for (const Fact& fact : facts.facts()) {
    const EditRequest& request = fact.request;
    if (request.old_label.empty()) continue;
    for (const Probe& probe : fact.probes) {
      if (probe.kind == ProbeKind::kPortability || probe.kind == ProbeKind::kPlain) continue;
      items.push_back(
          {.clip = probe.clip,
           .question = probe.question,
           .answer = probe.answer,
           .attribute = request.attribute,
           .label = "",
           .demonstrates = DemonstratedEdit{request.old_label, request.new_label, kind_name(probe.kind), request.id}});
    }
  }
  if (items.empty()) throw user_error("the facts demonstrate nothing: none has an old label ('original_answer')");
  return Corpus(std::move(items));
}

void refuse_held_out_clips(const FactSet& facts, const FactSet& held_out) {
  std::set<std::string> names;
  for (const ClipUse& use : held_out.clips()) names.insert(use.clip.name());
  for (const ClipUse& use : facts.clips())
    if (names.contains(use.clip.name()))
      throw user_error("{} asks about clip '{}', which the held-out facts test; leave it out of the demonstrations",
                       use.user, use.clip.name());
}

}  // namespace retune
