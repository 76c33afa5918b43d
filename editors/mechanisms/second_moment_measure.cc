#include <algorithm>
#include <cmath>
#include <set>
#include <stdexcept>
#include <utility>

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

// The rows of one site's keys that count, with their classes.
Keys rows_that_count(const Bundle& bundle, const Site& site, const CorpusItem& item, const PromptView& view,
                     std::int64_t answer, const Tensor& captured) {
  const Tensor keys = captured.cast(DType::kF32);
  Keys result;
  if (site_axis(*bundle.graph(), site.value) == SiteAxis::kPositions)
    result.classes = token_classes(bundle, view.prompt, answer);
  else
    result.classes.assign(
        select_audio_rows({Selector::Kind::kMeanAudio, 0, 0, {}}, view, keys.numel() / site.in).size(),
        TokenClass::kAudioSlot);
  result.values.assign(keys.data<float>(),
                       keys.data<float>() + static_cast<std::ptrdiff_t>(result.classes.size()) * site.in);
  for (const float value : result.values)
    if (!std::isfinite(value))
      throw failure("second moment of {}: a key of the item '{}' is not finite", site.name, item.question);
  return result;
}

// Of each site, in their order; none for a site that hears where the item has no clip.
std::vector<Keys> keys_of(Session& session, const Bundle& bundle, std::span<const Site* const> sites,
                          const CorpusItem& item) {
  std::optional<Waveform> clip;
  if (item.clip) clip = load_waveform(item.clip->locate());
  const PromptView view = view_prompt(session, bundle, item.question, clip);
  const std::vector<std::int64_t> answer =
      item.answer.empty() ? std::vector<std::int64_t>{} : target_ids(bundle, item.answer);
  const auto has_keys = [&](const Site& site) {
    return clip || site_axis(*bundle.graph(), site.value) == SiteAxis::kPositions;
  };
  SuffixRequest suffix = suffix_request(session, bundle, view.prompt, answer, 0);
  std::set<std::string> names;  // gate and up read the same key
  for (const Site* site : sites)
    if (has_keys(*site) && names.insert(site->key).second) suffix.request.outputs.push_back(site->key);
  std::vector<Keys> keys(sites.size());
  if (names.empty()) return keys;
  const Results results = session.run(suffix.graph, bundle.parameters(), suffix.request);
  for (std::size_t i = 0; i < sites.size(); ++i)
    if (has_keys(*sites[i]))
      keys[i] = rows_that_count(bundle, *sites[i], item, view, static_cast<std::int64_t>(answer.size()),
                                results[sites[i]->key].tensor);
  return keys;
}

// One site's sum in the making.
struct Measuring {
  const Site* site = nullptr;
  MomentIdentity identity;
  std::filesystem::path checkpoint;
  std::int64_t items = 0;  // of the corpus, done
  MomentAccumulator accumulator;

  void resume() {
    if (checkpoint.empty() || !std::filesystem::exists(checkpoint)) return;
    MomentCheckpoint found = load_checkpoint(checkpoint);
    if (!(found.identity == identity) || found.width != site->in)
      throw user_error("{} is the checkpoint of another model, site, corpus or settings; remove it to start again",
                       checkpoint.string());
    items = found.items;
    accumulator.restore(std::move(found.state));
  }
  void save() const {
    if (!checkpoint.empty()) save_checkpoint({identity, site->in, items, accumulator.state()}, checkpoint);
  }
};

std::vector<Measuring> begin_measuring(const Bundle& base, std::span<const Site> sites, const Corpus& corpus,
                                       const MomentOptions& options) {
  if (sites.empty()) throw user_error("second moments need at least one site");
  if (options.checkpoint_every < 1)
    throw user_error("checkpoint_every must be 1 or more, got {}", options.checkpoint_every);
  if (!options.checkpoints.empty() && options.checkpoints.size() != sites.size())
    throw std::logic_error("as many checkpoints as sites, or none");
  std::set<std::string> names;
  std::vector<Measuring> measuring;
  MomentIdentity identity;
  for (std::size_t i = 0; i < sites.size(); ++i) {
    const Site& site = sites[i];
    if (site.key.empty() || site.value.empty())
      throw user_error("site '{}' has no keys; choose a linear layer such as decoder.block.0.mlp.down", site.name);
    if (!names.insert(site.name).second) throw user_error("site '{}' is to be measured twice; name it once", site.name);
    if (i == 0) identity = moment_identity(base, site, corpus);  // reads the whole corpus
    identity.site = site.name;
    measuring.push_back({&site, identity,
                         options.checkpoints.empty() ? std::filesystem::path{} : options.checkpoints[i], 0,
                         MomentAccumulator(site.in)});
    measuring.back().resume();
  }
  return measuring;
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

std::vector<SecondMoment> measure_second_moments(Session& session, const Bundle& bundle, std::span<const Site> sites,
                                                 const Corpus& corpus, const MomentOptions& options,
                                                 const StepObserver& observer) {
  const Bundle base = without_patches(bundle);
  std::vector<Measuring> measuring = begin_measuring(base, sites, corpus, options);
  const auto count = static_cast<std::int64_t>(corpus.items().size());
  for (std::int64_t i = 0; i < count; ++i) {
    // After an interruption some may have been saved an item later than others.
    std::vector<Measuring*> behind;
    std::vector<const Site*> asked;
    for (Measuring& one : measuring)
      if (one.items == i) {
        behind.push_back(&one);
        asked.push_back(one.site);
      }
    if (behind.empty()) continue;
    const std::vector<Keys> keys = keys_of(session, base, asked, corpus.items()[static_cast<std::size_t>(i)]);
    for (std::size_t s = 0; s < behind.size(); ++s) {
      behind[s]->accumulator.add(keys[s].values, keys[s].classes, session.pool());
      behind[s]->items = i + 1;
    }
    if (observer) observer({"second moment", i + 1, count, 0});
    const bool stop = options.go_on && !options.go_on();
    if (i + 1 < count && (stop || (i + 1) % options.checkpoint_every == 0))
      for (const Measuring* one : behind) one->save();
    if (stop && i + 1 < count)
      throw Error(ErrorCode::kInterrupted, fmt::format("second moment of {}: stopped after item {} of {}; run again to "
                                                       "go on",
                                                       measuring[0].site->name, i + 1, count));
  }
  std::vector<SecondMoment> moments;
  for (const Measuring& one : measuring) {
    moments.push_back({one.identity, one.site->in, one.accumulator.sums(session.pool())});
    if (moments.back().tokens() == 0)
      throw user_error("the corpus gives site '{}' no keys: it has no item with sound", one.site->name);
  }
  for (const Measuring& one : measuring)
    if (!one.checkpoint.empty()) std::filesystem::remove(one.checkpoint);
  return moments;
}

SecondMoment measure_second_moment(Session& session, const Bundle& bundle, const Site& site, const Corpus& corpus,
                                   const MomentOptions& options, const StepObserver& observer) {
  return std::move(measure_second_moments(session, bundle, {&site, 1}, corpus, options, observer)[0]);
}

void check_belongs(const SecondMoment& moment, const Bundle& bundle, const Site& site) {
  if (moment.identity.site != site.name || moment.width != site.in)
    throw user_error("the second moment is of site '{}' (width {}), but '{}' (width {}) is edited",
                     moment.identity.site, moment.width, site.name, site.in);
  if (moment.identity.model != without_patches(bundle).hash())
    throw user_error("the second moment of '{}' is of another model; make one for this with retune stats", site.name);
}

}  // namespace retune
