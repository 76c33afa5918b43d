#include "editors/mechanisms/contrast.h"

#include <algorithm>
#include <optional>
#include <set>

#include "audio/waveform.h"
#include "editors/mechanisms/context_views.h"
#include "editors/mechanisms/key_collector.h"
#include "editors/mechanisms/prompt_view.h"
#include "lalm/answer.h"
#include "tensor/error.h"

namespace retune {

namespace {

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

bool is_clip_of(const CorpusItem& item, const std::string& attribute, const std::string& label) {
  return item.clip && lower(item.attribute) == lower(attribute) && lower(item.label) == lower(label);
}

std::vector<const CorpusItem*> drawn(std::vector<const CorpusItem*> items, std::int64_t count, Rng rng) {
  rng.shuffle(items);
  items.resize(std::min(items.size(), static_cast<std::size_t>(count)));
  return items;
}

}  // namespace

std::vector<const CorpusItem*> labelled_items(const Corpus& corpus, const EditRequest& request,
                                              const std::string& label, std::int64_t count, Rng rng) {
  if (label.empty()) throw user_error("request '{}' says no old label, from which an edit could lead away", request.id);
  std::vector<const CorpusItem*> found;
  std::set<std::string> clips;  // a corpus may ask several questions about one
  for (const CorpusItem& item : corpus.items())
    if (is_clip_of(item, request.attribute, label) && clips.insert(item.clip->name()).second) found.push_back(&item);
  if (static_cast<std::int64_t>(found.size()) < count)
    throw user_error(
        "too few contrast pairs for '{}': the corpus has {} clips of {} '{}', {} are needed; give a corpus with more "
        "or lower 'pairs'",
        request.id, found.size(), request.attribute, label, count);
  return drawn(std::move(found), count, rng);
}

std::vector<const CorpusItem*> other_items(const Corpus& corpus, const EditRequest& request, std::int64_t count,
                                           Rng rng) {
  std::vector<const CorpusItem*> found;
  for (const CorpusItem& item : corpus.items())
    if (!is_clip_of(item, request.attribute, request.old_label)) found.push_back(&item);
  if (found.empty())
    throw user_error("the corpus has nothing but clips of {} '{}': a gate needs others too", request.attribute,
                     request.old_label);
  return drawn(std::move(found), count, rng);
}

ContrastReader::ContrastReader(Session& session, const Bundle& bundle, std::vector<Site> layers,
                               const std::string& position)
    : session_(session), bundle_(bundle), layers_(std::move(layers)), position_(position) {}

Selector ContrastReader::selector_for(const Site& layer, const std::string& attribute) const {
  if (position_ == "auto")
    return parse_selector(site_axis(*bundle_.graph(), layer.value) == SiteAxis::kAudio ? "mean_audio" : "last_prompt");
  Selector selector = parse_selector(position_);
  if (selector.kind == Selector::Kind::kAttributeNoun) selector.text = attribute;
  return selector;
}

std::vector<LayerStates> ContrastReader::about(const std::vector<const CorpusItem*>& items,
                                               const EditRequest& request) const {
  std::vector<LayerStates> states;
  for (const CorpusItem* item : items) {
    std::optional<Waveform> clip;
    if (item->clip) clip = load_waveform(item->clip->locate());
    const bool same_matter = clip && lower(item->attribute) == lower(request.attribute);
    const PromptView view = view_prompt(session_, bundle_, same_matter ? request.question : item->question, clip);
    LayerStates state;
    for (const Site& layer : layers_) {
      Selector selector = selector_for(layer, request.attribute);
      const bool needs_what_is_not_there =
          !same_matter && selector.kind != Selector::Kind::kLastPrompt &&
          (!clip || selector.kind == Selector::Kind::kAttributeNoun || selector.kind == Selector::Kind::kTextSubject);
      if (needs_what_is_not_there) selector = parse_selector("last_prompt");
      state.push_back(read_site(session_, bundle_, layer, selector, view).value);
    }
    states.push_back(std::move(state));
  }
  return states;
}

LayerStates ContrastReader::answering(const EditRequest& request, const std::string& answer) const {
  const std::vector<std::int64_t> ids = bundle_.tokenizer().encode(answer);
  if (ids.empty()) throw user_error("request '{}': the answer '{}' has no tokens", request.id, answer);
  for (const Site& layer : layers_)
    if (site_axis(*bundle_.graph(), layer.value) != SiteAxis::kPositions)
      throw user_error("site '{}' is not behind the prompt: it does not see an answer", layer.name);
  const PromptView view = view_prompt(session_, bundle_, request.question, sound_of(request));
  SuffixRequest suffix = suffix_request(session_, bundle_, view.prompt, ids, view.prompt.length());
  for (const Site& layer : layers_) suffix.request.outputs.push_back(layer.value);
  const Results results = session_.run(suffix.graph, bundle_.parameters(), suffix.request);
  const auto tokens = static_cast<std::int64_t>(ids.size());
  const std::int64_t first = view.prompt.length() - suffix.cut;
  LayerStates state;
  for (const Site& layer : layers_) {
    const Tensor wide = results[layer.value].tensor.cast(DType::kF32);
    std::vector<double> mean(static_cast<std::size_t>(layer.out), 0.0);
    for (std::int64_t t = 0; t < tokens; ++t)
      for (std::int64_t i = 0; i < layer.out; ++i)
        mean[static_cast<std::size_t>(i)] +=
            static_cast<double>(wide.data<float>()[(first + t) * layer.out + i]) / static_cast<double>(tokens);
    state.push_back(std::move(mean));
  }
  return state;
}

std::vector<double> mean_state(const std::vector<LayerStates>& states, std::size_t layer) {
  std::vector<double> mean(states.front()[layer].size(), 0.0);
  for (const LayerStates& state : states)
    for (std::size_t i = 0; i < mean.size(); ++i) mean[i] += state[layer][i] / static_cast<double>(states.size());
  return mean;
}

std::vector<double> difference(std::vector<double> a, const std::vector<double>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return a;
}

}  // namespace retune
