#include "lalm/context.h"

#include <algorithm>
#include <span>

#include "lalm/answer.h"
#include "lalm/bundle.h"
#include "tensor/error.h"

namespace retune {

namespace {

// Takes the rows of the clips before the question from those of the whole prompt. `sounds`: of those clips, in order.
void set_apart(Prompt& prompt, const std::vector<Feed>& sounds, const std::vector<std::int64_t>& rows) {
  std::size_t taken = 0;
  for (std::size_t i = 0; i < sounds.size(); ++i) {
    if (rows[i] == 0) continue;
    const std::int64_t begin = prompt.audio_rows[taken];
    prompt.earlier.push_back({sounds[i], begin, begin + rows[i]});
    taken += static_cast<std::size_t>(rows[i]);
  }
  prompt.audio_rows.erase(prompt.audio_rows.begin(), prompt.audio_rows.begin() + static_cast<std::ptrdiff_t>(taken));
}

// Makes the prompt of one question with fewer and fewer demonstrations.
class Conversation {
 public:
  Conversation(Session& session, const Bundle& bundle, const HeardContext& heard, const std::string& question,
               const Feed& audio, const std::vector<std::string>& varying)
      : bundle_(bundle), heard_(heard), question_(question), audio_(audio) {
    for (const Feed& sound : heard.sounds)
      rows_.push_back(sound.tensor.defined() ? encoder_rows(session, bundle, sound, varying) : 0);
    if (audio.tensor.defined()) own_.push_back(encoder_rows(session, bundle, audio, varying));
  }

  Prompt without(std::size_t left_out) const {
    std::vector<Feed> sounds;
    std::vector<std::int64_t> rows;
    for (std::size_t i = left_out; i < rows_.size(); ++i) {
      if (!heard_.sounds[i].tensor.defined()) continue;
      sounds.push_back(heard_.sounds[i]);
      rows.push_back(rows_[i]);
    }
    std::vector<Turn> turns = turns_of(heard_.context, left_out);
    const Prompt before = read(turns, {.add_generation = false}, rows);
    turns.push_back(question_turn(question_, own_.size()));
    std::vector<std::int64_t> all = rows;
    all.insert(all.end(), own_.begin(), own_.end());
    Prompt prompt = read(turns, {}, all);
    set_apart(prompt, sounds, rows);
    prompt.audio = audio_;
    prompt.left_out = static_cast<std::int64_t>(left_out);
    const auto same = std::mismatch(before.ids.begin(), before.ids.end(), prompt.ids.begin(), prompt.ids.end());
    prompt.context_length = same.first - before.ids.begin();
    // The last token before the question may have joined it, but a placeholder never does.
    if (!prompt.earlier.empty()) prompt.context_length = std::max(prompt.context_length, prompt.earlier.back().end);
    return prompt;
  }

 private:
  Prompt read(std::span<const Turn> turns, const RenderOptions& options, const std::vector<std::int64_t>& rows) const {
    return make_raw_prompt(bundle_.tokenizer(), bundle_.placeholder(), bundle_.chat().render(turns, options), rows);
  }

  const Bundle& bundle_;
  const HeardContext& heard_;
  const std::string& question_;
  const Feed& audio_;
  std::vector<std::int64_t> rows_;  // a demonstration each
  std::vector<std::int64_t> own_;   // of the question's clip, if it has one
};

}  // namespace

std::shared_ptr<const HeardContext> hear_context(const Bundle& bundle, const HeardContext* known) {
  PromptContext context = merged(bundle.view().patches());
  if (context.edits.empty()) return nullptr;
  HeardContext heard{std::move(context), {}, {}};
  for (const Demonstration* demonstration : heard.context.demonstrations()) {
    heard.sounds.emplace_back();
    if (!demonstration->clip) continue;
    const ContextClip& clip = *demonstration->clip;
    const ContentHash hash = clip.hash();
    Feed& feed = heard.clips[hash];
    if (!feed.tensor.defined())
      feed = known && known->clips.contains(hash)
                 ? known->clips.at(hash)
                 : audio_feed(bundle, decode_waveform({clip.bytes.raw(), clip.bytes.bytes()},
                                                      fmt::format("the context's clip '{}'", clip.name)));
    heard.sounds.back() = feed;
  }
  return std::make_shared<const HeardContext>(std::move(heard));
}

std::vector<Turn> turns_of(const PromptContext& context, std::size_t left_out) {
  std::vector<Turn> turns = {Turn::system(context.system_message())};
  const std::vector<const Demonstration*> demonstrations = context.demonstrations();
  for (std::size_t i = left_out; i < demonstrations.size(); ++i) {
    turns.push_back(question_turn(demonstrations[i]->question, demonstrations[i]->clip ? 1 : 0));
    turns.push_back(Turn::assistant(demonstrations[i]->answer));
  }
  return turns;
}

Prompt prompt_in_context(Session& session, const Bundle& bundle, const HeardContext& heard, const std::string& question,
                         const Feed& audio, const std::vector<std::string>& varying) {
  const Conversation conversation(session, bundle, heard, question, audio, varying);
  const std::int64_t positions = bundle.decoder().positions;
  const auto fits = [&](const Prompt& prompt) { return positions == 0 || prompt.length() + kAnswerRoom <= positions; };
  Prompt prompt = conversation.without(0);
  if (fits(prompt)) return prompt;
  // The fewest that must go: each one that goes makes the prompt shorter.
  std::size_t too_few = 0, enough = heard.sounds.size();
  while (enough - too_few > 1) {
    const std::size_t middle = too_few + (enough - too_few) / 2;
    (fits(conversation.without(middle)) ? enough : too_few) = middle;
  }
  return conversation.without(enough);
}

}  // namespace retune
