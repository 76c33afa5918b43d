#include <algorithm>
#include <cmath>

#include "editors/mechanisms/prompt_view.h"
#include "editors/mechanisms/second_moment.h"
#include "editors/mechanisms/second_moment_file.h"
#include "editors/mechanisms/selector.h"
#include "lalm/answer.h"
#include "learning/lesson.h"
#include "learning/site_weight.h"
#include "tensor/error.h"

namespace retune {

namespace {

struct Keys {
  std::vector<float> values;
  std::vector<TokenClass> classes;
};

Keys keys_of(Session& session, const Bundle& bundle, const Site& site, const CorpusItem& item) {
  std::optional<Waveform> clip;
  if (item.clip) clip = load_waveform(item.clip->locate());
  const PromptView view = view_prompt(session, bundle, item.question, clip);
  const std::vector<std::int64_t> answer =
      item.answer.empty() ? std::vector<std::int64_t>{} : target_ids(bundle, item.answer);
  const bool positions = site_axis(*bundle.graph(), site.value) == SiteAxis::kPositions;
  if (!positions && !clip) return {};
  SuffixRequest suffix = suffix_request(session, bundle, view.prompt, answer, 0);
  suffix.request.outputs = {site.key};
  const Tensor keys = session.run(suffix.graph, bundle.parameters(), suffix.request)[site.key].tensor.cast(DType::kF32);
  const std::int64_t rows = keys.numel() / site.in;
  Keys result;
  if (positions)
    result.classes = token_classes(bundle, view.prompt, static_cast<std::int64_t>(answer.size()));
  else
    result.classes.assign(select_audio_rows({Selector::Kind::kMeanAudio, 0, 0, {}}, view, rows).size(),
                          TokenClass::kAudioSlot);
  result.values.assign(keys.data<float>(),
                       keys.data<float>() + static_cast<std::ptrdiff_t>(result.classes.size()) * site.in);
  for (const float value : result.values)
    if (!std::isfinite(value))
      throw failure("second moment of {}: a key of the item '{}' is not finite", site.name, item.question);
  return result;
}

}  // namespace

std::vector<TokenClass> token_classes(const Bundle& bundle, const Prompt& prompt, std::int64_t answer) {
  std::vector<TokenClass> classes(prompt.ids.size(), TokenClass::kText);
  // What is the same in a prompt without a question belongs to the template.
  const std::vector<std::int64_t> rows =
      prompt.audio_rows.empty() ? std::vector<std::int64_t>{}
                                : std::vector<std::int64_t>{static_cast<std::int64_t>(prompt.audio_rows.size())};
  const std::vector<std::int64_t> frame =
      make_prompt(bundle.tokenizer(), bundle.chat(), bundle.placeholder(), "", rows).ids;
  const std::size_t limit = std::min(frame.size(), prompt.ids.size());
  const auto head = static_cast<std::size_t>(
      std::mismatch(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(limit), prompt.ids.begin()).first -
      frame.begin());
  std::size_t tail = 0;
  while (tail < limit - head && frame[frame.size() - 1 - tail] == prompt.ids[prompt.ids.size() - 1 - tail]) ++tail;
  std::fill_n(classes.begin(), head, TokenClass::kTemplate);
  std::fill_n(classes.rbegin(), tail, TokenClass::kTemplate);
  for (const std::int64_t row : prompt.audio_rows) classes[static_cast<std::size_t>(row)] = TokenClass::kAudioSlot;
  classes.insert(classes.end(), static_cast<std::size_t>(answer), TokenClass::kAnswer);
  return classes;
}

MomentIdentity moment_identity(const Bundle& bundle, const Site& site, const Corpus& corpus) {
  Hasher settings;
  settings.add("second moment").add(kBlockTokens).add(bundle.chat().render({Turn::user("question")}));
  settings.add(static_cast<std::int64_t>(bundle.padding()));
  return {site.name, without_patches(bundle).hash(), corpus.hash(), settings.finish()};
}

SecondMoment measure_second_moment(Session& session, const Bundle& bundle, const Site& site, const Corpus& corpus,
                                   const MomentOptions& options, const StepObserver& observer) {
  if (site.key.empty() || site.value.empty())
    throw user_error("site '{}' has no keys; choose a linear layer such as decoder.block.0.mlp.down", site.name);
  if (options.checkpoint_every < 1)
    throw user_error("checkpoint_every must be 1 or more, got {}", options.checkpoint_every);
  const Bundle base = without_patches(bundle);
  MomentCheckpoint at{moment_identity(base, site, corpus), site.in, 0, {}};
  const bool keep = !options.checkpoint.empty();
  if (keep && std::filesystem::exists(options.checkpoint)) {
    MomentCheckpoint found = load_checkpoint(options.checkpoint);
    if (!(found.identity == at.identity) || found.width != site.in)
      throw user_error("{} is the checkpoint of another model, site, corpus or settings; remove it to start again",
                       options.checkpoint.string());
    at = std::move(found);
  }
  MomentAccumulator accumulator(site.in);
  accumulator.restore(std::move(at.state));
  const auto count = static_cast<std::int64_t>(corpus.items().size());
  for (std::int64_t i = at.items; i < count; ++i) {
    const Keys keys = keys_of(session, base, site, corpus.items()[static_cast<std::size_t>(i)]);
    accumulator.add(keys.values, keys.classes, session.pool());
    if (observer) observer({"second moment", i + 1, count, 0});
    const bool stop = options.go_on && !options.go_on();
    if (keep && i + 1 < count && (stop || (i + 1) % options.checkpoint_every == 0))
      save_checkpoint({at.identity, site.in, i + 1, accumulator.state()}, options.checkpoint);
    if (stop && i + 1 < count)
      throw Error(
          ErrorCode::kInterrupted,
          fmt::format("second moment of {}: stopped after item {} of {}; run again to go on", site.name, i + 1, count));
  }
  SecondMoment moment{at.identity, site.in, accumulator.sums(session.pool())};
  if (moment.tokens() == 0)
    throw user_error("the corpus gives site '{}' no keys: it has no item with sound", site.name);
  if (keep) std::filesystem::remove(options.checkpoint);
  return moment;
}

void check_belongs(const SecondMoment& moment, const Bundle& bundle, const Site& site) {
  if (moment.identity.site != site.name || moment.width != site.in)
    throw user_error("the second moment is of site '{}' (width {}), but '{}' (width {}) is edited",
                     moment.identity.site, moment.width, site.name, site.in);
  if (moment.identity.model != without_patches(bundle).hash())
    throw user_error("the second moment of '{}' is of another model; make one for this with retune stats", site.name);
}

}  // namespace retune
