// A prompt context as JSON, in patches (docs/formats/patch.md) and in exports (docs/formats/context.md). Sounds lie
// beside it: it says which.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "adapters/prompt_context.h"

namespace retune {

// Each sound once, in the order in which they are first heard: two clips of the same name and bytes are one.
std::vector<ContextClip> distinct_clips(const PromptContext& context);

// {"system": TEXT, "edits": [{"old", "new", "demonstrations": [{"question", "answer", "clip": INDEX}]}], "clips":
// [{"name", "sha256"}]}; INDEX counts distinct_clips, and is absent for text alone.
nlohmann::ordered_json context_json(const PromptContext& context);

// Back; `bytes_of` gives the sound at an index, whose name was checked. User errors: a clip index that `clips` does not
// have, bytes that do not have their sha256, all that check() refuses; nlohmann's errors where a key is missing or of
// another type.
PromptContext context_from(const nlohmann::json& json, const std::function<Tensor(std::size_t index)>& bytes_of);

}  // namespace retune
