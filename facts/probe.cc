#include "facts/probe.h"

#include "facts/option_list.h"
#include "tensor/error.h"

namespace retune {

const char* kind_name(ProbeKind kind) {
  switch (kind) {
    case ProbeKind::kReliability:
      return "reliability";
    case ProbeKind::kGenerality:
      return "generality";
    case ProbeKind::kAudioLocality:
      return "audio_locality";
    case ProbeKind::kTextLocality:
      return "text_locality";
    case ProbeKind::kPortability:
      return "portability";
    case ProbeKind::kPlain:
      break;
  }
  return "plain";
}

ProbeKind kind_from_name(const std::string& name, const std::string& place) {
  std::string known;
  for (const ProbeKind kind : kProbeKinds) {
    if (name == kind_name(kind)) return kind;
    known += known.empty() ? kind_name(kind) : std::string(", ") + kind_name(kind);
  }
  throw user_error("{}: kind: expected one of {}, got '{}'", place, known, name);
}

int type_count(ProbeKind kind) {
  if (kind == ProbeKind::kGenerality) return 3;
  return kind == ProbeKind::kAudioLocality ? 4 : 0;
}

int audio_locality_type(const std::string& attribute, const std::string& new_label, const std::string& track,
                        const std::string& answer) {
  if (track.find('/') != std::string::npos) return 4;
  if (track != attribute) return 1;
  return same_label(answer, new_label) ? 3 : 2;
}

}  // namespace retune
