#include "editors/editor.h"

#include <algorithm>
#include <cmath>

#include "tensor/error.h"

namespace retune {

Prepared Editor::prepare(Session&, const Bundle& bundle, const Corpus* corpus, const StepObserver&) const {
  Prepared prepared;
  prepared.losses = loss_graphs(bundle);
  if (corpus) prepared.corpus = *corpus;
  return prepared;
}

Patch empty_patch(const Editor& editor, const Bundle& bundle, std::span<const EditRequest> requests) {
  Patch patch;
  patch.method = editor.info().word;
  patch.recipe = Settings({{"method", editor.info().word}, {"settings", editor.settings()}}).dump();
  patch.facts = requests_text(requests);
  patch.graph_hash = bundle.view().graph_hash();
  patch.files = bundle.view().files();
  patch.beneath = bundle.view().patch_ids();
  return patch;
}

std::string requests_text(std::span<const EditRequest> requests) {
  Settings list = Settings::array();
  for (const EditRequest& request : requests)
    list.push_back({{"id", request.id},
                    {"attribute", request.attribute},
                    {"clip", request.clip.name()},
                    {"question", request.question},
                    {"options", request.options},
                    {"old_label", request.old_label},
                    {"new_label", request.new_label},
                    {"scope", scope_name(request.scope)}});
  return list.dump();
}

std::string part_in(const SiteMap& sites, const std::string& part) {
  for (const auto& [prefix, blocks] : {std::pair<std::string, std::int64_t>{"decoder.block.", sites.blocks.decoder},
                                       {"encoder.block.", sites.blocks.encoder}}) {
    if (!part.starts_with(prefix)) continue;
    const std::size_t end = std::min(part.find('.', prefix.size()), part.size());
    const std::string place = part.substr(prefix.size(), end - prefix.size());
    std::int64_t block = blocks - 1;
    if (place.size() > 1 && place.back() == '%' && place.find_first_not_of("0123456789") == place.size() - 1) {
      if (place.size() > 4 || std::stoi(place) > 100)
        throw user_error("site '{}': expected 0% to 100% of the depth, got {}", part, place);
      block = std::min(block,
                       static_cast<std::int64_t>(std::lround(std::stod(place) / 100.0 * static_cast<double>(blocks))));
    } else if (place.starts_with("last-") && place.size() > 5 && place.size() < 10 &&
               place.find_first_not_of("0123456789", 5) == std::string::npos) {
      block -= std::stoi(place.substr(5));
    } else if (place != "last") {
      return part;
    }
    if (block < 0) throw user_error("site '{}': the model has no {}N; see retune inspect", part, prefix);
    return prefix + std::to_string(block) + part.substr(end);
  }
  return part;
}

}  // namespace retune
