// A question, with or without sound, as the token ids that a bundle's decoder reads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "graph/session.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace retune {

// A clip that stands before the question, and the positions [begin, end) of its placeholders.
struct EarlierClip {
  Feed audio;  // [1, mels, F] in the encoder's type
  std::int64_t begin = 0, end = 0;
};

struct Prompt {
  std::vector<std::int64_t> ids;  // [P], each clip's placeholder repeated once per row of its audio features
  std::vector<std::int64_t>
      audio_rows;  // positions of the question's own placeholders, ascending; empty for text alone
  Feed audio;      // [N, mels, F] in the encoder's type; undefined for text alone
  // Of a context (lalm/context.h): its clips, in order, each read by itself whatever its length; how many ids every
  // question in it begins with; and how many of its demonstrations were left out for want of positions.
  std::vector<EarlierClip> earlier = {};
  std::int64_t context_length = 0;
  std::int64_t left_out = 0;

  std::int64_t length() const { return static_cast<std::int64_t>(ids.size()); }
  // What all questions about the same clip share: the ids through the last audio slot; for text alone those of the
  // context, 0 without.
  std::int64_t prefix_length() const { return audio_rows.empty() ? context_length : audio_rows.back() + 1; }
  // The largest length below `length` after which the cache is kept: after each earlier clip, the context, the
  // question's clip. 0 if there is none.
  std::int64_t cut_below(std::int64_t length) const;
};

// One user turn (clips first, each on a line of its own, then the question) and the opening of the assistant's.
// `rows_per_clip` says how many placeholders each clip gets. User error if the template has no place for sound, or the
// tokenizer does not know `placeholder` as one token.
Prompt make_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat, const std::string& placeholder,
                   const std::string& question, const std::vector<std::int64_t>& rows_per_clip);

// The user turn of make_prompt.
Turn question_turn(const std::string& question, std::size_t clips);

// The same from text that is already laid out (`retune ask --prompt`), in which each clip is one placeholder.
Prompt make_raw_prompt(const Tokenizer& tokenizer, const std::string& placeholder, const std::string& text,
                       const std::vector<std::int64_t>& rows_per_clip);

}  // namespace retune
