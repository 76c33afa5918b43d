#include "lalm/site_axis.h"

#include <vector>

#include "tensor/error.h"

namespace retune {

SiteAxis site_axis(const Graph& linked, const std::string& value) {
  const ValueId embeds = linked.find("inputs_embeds"), sound = linked.find("audio_values");
  std::vector<bool> seen(linked.values().size(), false);
  std::vector<ValueId> pending = {linked.require(value)};
  bool hears = false;
  while (!pending.empty()) {
    const ValueId id = pending.back();
    pending.pop_back();
    if (id == kNoValue || seen[static_cast<std::size_t>(id)]) continue;
    seen[static_cast<std::size_t>(id)] = true;
    if (id == embeds) return SiteAxis::kPositions;
    hears = hears || id == sound;
    if (const Node* node = linked.producer(id)) pending.insert(pending.end(), node->inputs.begin(), node->inputs.end());
  }
  if (!hears)
    throw user_error(
        "'{}' depends neither on the sound nor on the prompt as the decoder reads it; nothing can be selected there",
        value);
  return SiteAxis::kAudio;
}

}  // namespace retune
