// Several ways to put one request to the model, so that a key or a target vector belongs to the fact and not to one
// wording or one recording (methods.md section 3, context averaging).
//
//   none         the request as it stands
//   text_prefix  and with each of some sentences before the question
//   paraphrase   and with the question inside each of some wordings
//   audio_aug    and with the sound changed in four ways: louder or softer by up to 3 dB; shifted by up to 100 ms;
//   white noise at
//                30 dB below the sound; shifted, then noise
//
// The request as it stands has half of the weight and the others share the rest equally (MEMIT's rule, methods.md 5.6).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "audio/waveform.h"
#include "editors/mechanisms/prompt_view.h"
#include "editors/settings.h"
#include "facts/edit_request.h"
#include "tensor/rng.h"

namespace retune {

enum class ContextMode { kNone, kTextPrefix, kParaphrase, kAudioAugmentation };

struct ContextOptions {
  ContextMode mode = ContextMode::kAudioAugmentation;
  std::vector<std::string> prefixes;     // kTextPrefix
  std::vector<std::string> paraphrases;  // kParaphrase; each holds "{question}" once
};

struct ContextView {
  PromptView view;
  double weight = 1;  // of all views of a request, the sum is 1
  std::string what;   // "bare", "gain -1.7 dB", ...; for the record
};

// The request's sound; nothing for a request about text alone (no clip). Errors as load_waveform.
std::optional<Waveform> sound_of(const EditRequest& request);

// The first view is the bare request. A request without sound has no augmentations. The same Rng gives the same views.
// User error for a paraphrase without "{question}".
std::vector<ContextView> context_views(Session& session, const Bundle& bundle, const EditRequest& request,
                                       const ContextOptions& options, Rng rng);

// The settings that methods with views share, and how they are read.
std::vector<Setting> context_settings(const std::string& default_mode);
ContextOptions context_options(const Settings& settings);

}  // namespace retune
