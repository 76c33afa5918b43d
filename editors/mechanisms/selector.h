// Where "the subject" is when the subject is a sound: the positions whose keys and values an edit is about (methods.md
// section 3).
//
//   last_prompt            the last position of the prompt
//   last_audio             the last audio slot that holds sound
//   mean_audio             all of them, as a mean
//   audio_span(a,b)        those that overlap the seconds [a, b), as a mean
//   attr_noun_last         the last token of the attribute's noun in the question
//   text_subject_last(s)   the last token of the text s in the question
//
// A site's value has a row a position in the decoder, and a row an audio frame in encoder and connector; there, only
// the three selectors of sound make sense.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "editors/mechanisms/prompt_view.h"
#include "lalm/site_axis.h"
#include "text/tokenizer.h"

namespace retune {

struct Selector {
  enum class Kind { kLastPrompt, kLastAudio, kMeanAudio, kAudioSpan, kAttributeNoun, kTextSubject };
  Kind kind = Kind::kLastPrompt;
  double begin_seconds = 0, end_seconds = 0;  // kAudioSpan
  std::string text;  // kTextSubject; kAttributeNoun: the noun, set by whoever knows the request
};

// User error for anything but the spellings above.
Selector parse_selector(const std::string& spelling);

// Positions in the prompt, ascending, at least one. User errors: a selector of sound without sound, a span without
// rows, a text that the question does not hold (case of ASCII letters aside).
std::vector<std::int64_t> select_positions(const Selector& selector, const PromptView& view,
                                           const Tokenizer& tokenizer);

// Rows of an audio value with `rows` rows a clip. User error for a selector of text.
std::vector<std::int64_t> select_audio_rows(const Selector& selector, const PromptView& view, std::int64_t rows);

// The largest cut (lalm/answer.h, suffix_request) that leaves `position` in the suffix and does not go through the
// audio slots.
std::int64_t cut_before(const Prompt& prompt, std::int64_t position);

}  // namespace retune
