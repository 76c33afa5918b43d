#include "lalm/prompt.h"

#include <algorithm>

#include "tensor/error.h"

namespace retune {

Turn question_turn(const std::string& question, std::size_t clips) {
  std::vector<ContentPart> content;
  for (std::size_t i = 0; i < clips; ++i) {
    content.push_back(ContentPart::clip());
    content.push_back(ContentPart::of("\n"));
  }
  content.push_back(ContentPart::of(question));
  return Turn::user(std::move(content));
}

std::int64_t Prompt::cut_below(std::int64_t length) const {
  std::int64_t cut = 0;
  const auto consider = [&](std::int64_t at) {
    if (at < length) cut = std::max(cut, at);
  };
  for (const EarlierClip& clip : earlier) consider(clip.end);
  consider(context_length);
  consider(prefix_length());
  return cut;
}

Prompt make_raw_prompt(const Tokenizer& tokenizer, const std::string& placeholder, const std::string& text,
                       const std::vector<std::int64_t>& rows_per_clip) {
  Prompt prompt;
  const std::vector<std::int64_t> encoded = tokenizer.encode(text);
  if (rows_per_clip.empty()) {
    prompt.ids = encoded;
    return prompt;
  }
  const std::int64_t slot = tokenizer.require_id(placeholder);
  std::size_t clip = 0;
  for (const std::int64_t id : encoded) {
    if (id != slot) {
      prompt.ids.push_back(id);
      continue;
    }
    if (clip == rows_per_clip.size())
      throw user_error("the prompt has more '{}' than the {} clips given", placeholder, rows_per_clip.size());
    for (std::int64_t row = 0; row < rows_per_clip[clip]; ++row) {
      prompt.audio_rows.push_back(prompt.length());
      prompt.ids.push_back(slot);
    }
    ++clip;
  }
  if (clip != rows_per_clip.size())
    throw user_error("the prompt has {} '{}' for {} clips; write one for each", clip, placeholder,
                     rows_per_clip.size());
  return prompt;
}

Prompt make_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat, const std::string& placeholder,
                   const std::string& question, const std::vector<std::int64_t>& rows_per_clip) {
  return make_raw_prompt(tokenizer, placeholder, chat.render({question_turn(question, rows_per_clip.size())}),
                         rows_per_clip);
}

}  // namespace retune
