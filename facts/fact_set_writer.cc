// FactSet::save: SAKE's JSON out, in the key order and layout of SAKE's own files.
#include "facts/fact_set.h"
#include "facts/json_text.h"
#include "facts/option_list.h"

namespace retune {
namespace {

using Json = nlohmann::ordered_json;

// FILE as it stands in a file whose place implies the track.
std::string file_in(const Clip& clip, const std::string& track) {
  const std::string& name = clip.name();
  return !track.empty() && name.starts_with(track + "/") ? name.substr(track.size() + 1) : name;
}

Json audio_question(const Probe& probe, const std::string& track) {
  if (!probe.clip) throw user_error("probe {}: kind {} needs a clip to be written", probe.id, kind_name(probe.kind));
  return {{"file", file_in(*probe.clip, track)}, {"question", probe.question}, {"answer", probe.answer}};
}

Json text_question(const Probe& probe) {
  Json json = {{"question", probe.question}, {"answer", probe.answer}};
  if (const int index = find_label(probe.options, probe.answer); index >= 0) json["original_answer"] = index;
  if (!probe.subject.empty()) json["subject"] = probe.subject;
  return json;
}

Json audio_locality(const Probe& probe) {
  Json json = {{"track", probe.track}};
  json.update(audio_question(probe, probe.track));
  if (probe.replaced) json["update"] = true;
  return json;
}

// SAKE tells types by position and content, so probes that another type would be read back from cannot be written.
void check_type(const Probe& probe, const EditRequest& request, std::size_t generality_before) {
  int expected = 0;
  if (probe.kind == ProbeKind::kGenerality) expected = static_cast<int>(generality_before) + 1;
  if (probe.kind == ProbeKind::kAudioLocality) {
    expected = audio_locality_type(request.attribute, request.new_label, probe.track, probe.answer);
  }
  if (probe.type != expected) {
    throw user_error("probe {}: type {} cannot be written at its place, which SAKE's format reads as type {}", probe.id,
                     probe.type, expected);
  }
}

Json fact_json(const Fact& fact) {
  const EditRequest& request = fact.request;
  Json json = {{"track", request.attribute}, {"file", file_in(request.clip, request.attribute)}};
  if (!request.old_label.empty()) json["original_answer"] = request.old_label;
  json["edited_answer"] = request.new_label;
  json["reliability_question"] = request.question;
  if (request.scope != Scope::kLabel) json["scope"] = scope_name(request.scope);
  for (const Probe& probe : fact.probes) {
    check_type(probe, request, json.contains("generality") ? json["generality"].size() : 0);
    switch (probe.kind) {
      case ProbeKind::kReliability:
        break;  // is the request itself
      case ProbeKind::kGenerality:
        json["generality"].push_back(audio_question(probe, request.attribute));
        break;
      case ProbeKind::kAudioLocality:
        json["locality"]["audio"].push_back(audio_locality(probe));
        break;
      case ProbeKind::kTextLocality:
        json["locality"]["text"].push_back(text_question(probe));
        break;
      case ProbeKind::kPortability:
        json["portability"]["audio"] = audio_question(probe, request.attribute);
        break;
      case ProbeKind::kPlain:
        throw user_error("probe {}: plain probes belong into a probe file, not among facts", probe.id);
    }
  }
  return json;
}

}  // namespace

void FactSet::save(const std::filesystem::path& path) const {
  Json document = Json::array();
  for (const Sequence& sequence : sequences_) {
    Json list = Json::array();
    for (std::size_t i = sequence.begin; i < sequence.end; ++i) list.push_back(fact_json(facts_[i]));
    if (sequences_.size() == 1) {
      document = std::move(list);
    } else {
      document.push_back(std::move(list));
    }
  }
  write_text(path, json_bytes(document, 4) + "\n");
}

}  // namespace retune
