#include "eval/ask.h"

#include <algorithm>
#include <cmath>
#include <list>
#include <utility>

#include "eval/judge.h"
#include "tensor/error.h"

namespace retune {

namespace {

struct HeardClip {
  Feed audio;
  std::string hash;
};

// The clips that were asked about last. Probes about one clip mostly stand together; a whole evaluation's features
// would take gigabytes.
class HeardClips {
 public:
  explicit HeardClips(const Bundle& bundle) : bundle_(bundle) {}

  // Valid until the next call.
  const HeardClip& hear(const Clip& clip) {
    const std::string path = clip.locate().string();
    const auto found = std::find_if(clips_.begin(), clips_.end(), [&](const auto& item) { return item.first == path; });
    if (found != clips_.end()) {
      clips_.splice(clips_.begin(), clips_, found);
    } else {
      clips_.emplace_front(path, HeardClip{audio_feed(bundle_, std::filesystem::path(path)), clip.hash().hex()});
      if (clips_.size() > kClipsKept) clips_.pop_back();
    }
    return clips_.front().second;
  }

 private:
  const Bundle& bundle_;
  std::list<std::pair<std::string, HeardClip>> clips_;  // by path, the last one first
};

Asked ask_one(Session& session, const Bundle& bundle, const Probe& probe, const HeardClip& clip,
              const AskSettings& settings) {
  AnswerOptions options;
  options.max_new_tokens = settings.max_new_tokens;
  options.options = probe.options;
  if (!probe.answer.empty()) options.expected = probe.answer;
  options.varying = settings.varying;
  const Prompt prompt = prompt_for(session, bundle, probe.question, clip.audio, options);
  const Answer given = answer(session, bundle, prompt, options);
  Asked result;
  result.answer.ids = given.ids;
  result.answer.text = given.text;
  result.answer.hit_length_limit = given.hit_length_limit;
  for (const OptionLikelihood& option : given.options)
    result.answer.option_scores.push_back(
        {option.text, option.logprob_sum, static_cast<int>(option.tokens), static_cast<int>(option.bytes)});
  result.answer.teacher_forced_hits = static_cast<int>(given.forced_hits);
  result.answer.teacher_forced_tokens = static_cast<int>(given.forced_tokens);
  result.first_token_logprobs = given.first_token_logprobs;
  result.clip_hash = clip.hash;
  return result;
}

double divergence(const std::vector<float>& before, const std::vector<float>& after) {
  double sum = 0;
  for (std::size_t v = 0; v < before.size(); ++v) {
    const double p = before[v];
    if (std::exp(p) > 0) sum += std::exp(p) * (p - static_cast<double>(after[v]));
  }
  return std::max(sum, 0.0);  // rounding of f32 can leave -1e-9
}

}  // namespace

std::vector<Asked> ask(Session& session, const Bundle& bundle, std::span<const Probe> probes,
                       const AskSettings& settings, const std::function<void(std::size_t done)>& asked) {
  HeardClips heard(bundle);
  const HeardClip silence;
  std::vector<Asked> results;
  results.reserve(probes.size());
  for (const Probe& probe : probes) {
    try {
      const HeardClip& clip = probe.clip ? heard.hear(*probe.clip) : silence;
      results.push_back(ask_one(session, bundle, probe, clip, settings));
    } catch (const Error& error) {
      throw Error(error.code(), fmt::format("probe '{}': {}", probe.id, error.what()));
    }
    if (asked) asked(results.size());
  }
  return results;
}

AnswerRecord pair_up(const Probe& probe, const EditRequest* request, const Asked* before, const Asked* after,
                     const AskSettings& settings) {
  AnswerRecord record = describe(probe, request);
  if (before) record.before = before->answer;
  if (after) record.after = after->answer;
  if (const Asked* either = before ? before : after) record.clip_hash = either->clip_hash;
  record.decoding_hash = decoding_hash(settings);
  if (before && after && before->first_token_logprobs.size() == after->first_token_logprobs.size())
    record.first_token_kl = divergence(before->first_token_logprobs, after->first_token_logprobs);
  record.verdicts = all_verdicts(record);
  return record;
}

std::string decoding_hash(const AskSettings& settings) {
  return ContentHash::of(fmt::format("greedy; max_new_tokens {}; options without end of turn", settings.max_new_tokens))
      .hex();
}

}  // namespace retune
