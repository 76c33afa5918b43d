// A question, with or without sound, as the token ids that a bundle's decoder reads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "graph/session.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace retune {

struct Prompt {
  std::vector<std::int64_t> ids;         // [P], each clip's placeholder repeated once per row of its audio features
  std::vector<std::int64_t> audio_rows;  // positions of the placeholders, ascending; empty for text alone
  Feed audio;                            // [N, mels, F] in the encoder's type; undefined for text alone

  std::int64_t length() const { return static_cast<std::int64_t>(ids.size()); }
  // What all questions about the same clip share: the ids through the last audio slot; 0 for text alone.
  std::int64_t prefix_length() const { return audio_rows.empty() ? 0 : audio_rows.back() + 1; }
};

// One user turn (clips first, each on a line of its own, then the question) and the opening of the assistant's.
// `rows_per_clip` says how many placeholders each clip gets. User error if the template has no place for sound, or the
// tokenizer does not know `placeholder` as one token.
Prompt make_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat, const std::string& placeholder,
                   const std::string& question, const std::vector<std::int64_t>& rows_per_clip);

// The same from text that is already laid out (`retune ask --prompt`), in which each clip is one placeholder.
Prompt make_raw_prompt(const Tokenizer& tokenizer, const std::string& placeholder, const std::string& text,
                       const std::vector<std::int64_t>& rows_per_clip);

}  // namespace retune
