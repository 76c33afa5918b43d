// What a model's residual stream holds when it hears one label, and when it hears another: the two sides of a steering
// vector, and of a gate (methods.md 5.17).
//
//   const ContrastReader reader(session, base, layers, "last_prompt");
//   const auto toward = reader.about(labelled_items(corpus, request, request.new_label, 32, rng.fork("new")), request);
//   const auto away = reader.about(labelled_items(corpus, request, request.old_label, 32, rng.fork("old")), request);
//   difference(mean_state(toward, 0), mean_state(away, 0));      // v of the first layer
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "editors/mechanisms/selector.h"
#include "facts/corpus.h"
#include "facts/edit_request.h"
#include "graph/session.h"
#include "lalm/bundle.h"
#include "tensor/rng.h"

namespace retune {

// Of one prompt: a vector [site.out] a layer.
using LayerStates = std::vector<std::vector<double>>;

// `count` of the corpus's clips of the request's attribute and this label (ASCII letter case aside), drawn without
// replacement, each clip once. User error that says how many there are where they are fewer, or where the label is
// empty.
std::vector<const CorpusItem*> labelled_items(const Corpus& corpus, const EditRequest& request,
                                              const std::string& label, std::int64_t count, Rng rng);
// At most `count` of all items but clips of the request's attribute and old label. User error if there is none.
std::vector<const CorpusItem*> other_items(const Corpus& corpus, const EditRequest& request, std::int64_t count,
                                           Rng rng);

class ContrastReader {
 public:
  // Reads at `position` (selector.h), "auto": last_prompt behind the prompt, mean_audio before it. `session` and
  // `bundle` outlive it.
  ContrastReader(Session& session, const Bundle& bundle, std::vector<Site> layers, const std::string& position);

  // Clips of the request's attribute are asked the request's question, all others their own.
  std::vector<LayerStates> about(const std::vector<const CorpusItem*>& items, const EditRequest& request) const;
  // The mean over the answer's tokens, read after the request. User errors: an answer without tokens, layers that are
  // not behind the prompt.
  LayerStates answering(const EditRequest& request, const std::string& answer) const;

 private:
  Selector selector_for(const Site& layer, const std::string& attribute) const;

  Session& session_;
  const Bundle& bundle_;
  std::vector<Site> layers_;
  std::string position_;
};

std::vector<double> mean_state(const std::vector<LayerStates>& states, std::size_t layer);
std::vector<double> difference(std::vector<double> a, const std::vector<double>& b);

}  // namespace retune
