// A question as a model reads it, with what is known of its sound.
#pragma once

#include <optional>
#include <string>

#include "audio/waveform.h"
#include "graph/session.h"
#include "lalm/bundle.h"
#include "lalm/prompt.h"

namespace retune {

struct PromptView {
  Prompt prompt;
  // Of the sound that the audio rows span, padding included; 0 for text alone. Row r of R covers [r, r + 1) * seconds /
  // R.
  double seconds = 0;
  double heard = 1;  // the share of it that is sound, not padding, in (0, 1]
};

// The prompt of lalm/answer.h, and the extent of its sound under the bundle's padding. Errors as prompt_for.
PromptView view_prompt(Session& session, const Bundle& bundle, const std::string& question,
                       const std::optional<Waveform>& clip);

}  // namespace retune
