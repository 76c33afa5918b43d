#include "editors/mechanisms/prompt_view.h"

#include <algorithm>

#include "lalm/answer.h"

namespace retune {

PromptView view_prompt(Session& session, const Bundle& bundle, const std::string& question,
                       const std::optional<Waveform>& clip) {
  PromptView view{prompt_for(session, bundle, question, clip), 0, 1};
  if (!clip) return view;
  const double limit = static_cast<double>(bundle.front_end().options().chunk_seconds);
  const double sound = std::min(clip->seconds(), limit);
  view.seconds = bundle.padding() == Padding::kNone ? sound : limit;
  view.heard = view.seconds > 0 ? sound / view.seconds : 1;
  return view;
}

}  // namespace retune
