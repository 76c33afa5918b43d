// A prompt context (adapters/prompt_context.h) as a bundle hears it, and the prompts of questions that are put in it.
//
// A conversation: the system message with the edits, each demonstration as a turn of the user and one of the assistant,
// then the question. Each clip is read by the encoder by itself, as if it were asked about alone, and the decoder goes
// from clip to clip with its cache: clips of any lengths stand in one prompt, and all questions share what is before
// them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "adapters/prompt_context.h"
#include "graph/session.h"
#include "lalm/prompt.h"

namespace retune {

class Bundle;

// Positions that a prompt in a context leaves for the answer.
inline constexpr std::int64_t kAnswerRoom = 64;

struct HeardContext {
  PromptContext context;              // of the bundle's whole stack; has edits
  std::vector<Feed> sounds;           // a demonstration each, [1, mels, F]; undefined for text alone
  std::map<ContentHash, Feed> clips;  // the same by their bytes
};

// What the bundle's patches say before every question; null if they say nothing. Features that `known` has are taken
// from there. User error for a clip that is no sound.
std::shared_ptr<const HeardContext> hear_context(const Bundle& bundle, const HeardContext* known);

// The conversation before the question: the system message and the demonstrations but for the `left_out` oldest.
std::vector<Turn> turns_of(const PromptContext& context, std::size_t left_out = 0);

// The prompt of a question. So many of the oldest demonstrations are left out as would leave fewer than kAnswerRoom
// positions of the decoder's for the answer; the lines of the edits never are (Prompt::left_out says how many).
// `audio`: the question's own clip, undefined for text alone.
Prompt prompt_in_context(Session& session, const Bundle& bundle, const HeardContext& heard, const std::string& question,
                         const Feed& audio, const std::vector<std::string>& varying);

}  // namespace retune
