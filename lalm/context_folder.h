// A prompt context as files that any program can use: what an in-context method exports (docs/formats/context.md).
//
//   save_context(edited, "out/context", Existing::kReplace);
//   Bundle told = with_context(Bundle::open("out/bundle"), load_context("out/context"));
#pragma once

#include <filesystem>

#include "adapters/prompt_context.h"
#include "lalm/bundle.h"
#include "tensor/staged_output.h"

namespace retune {

// Writes context.json (edits, demonstrations, the conversation as messages, and the bundle's own template around it
// with a place for the question) and clips/. std::logic_error if the bundle has no context. User errors and failures:
// those of writing.
void save_context(const Bundle& bundle, const std::filesystem::path& folder, Existing existing);

// User errors, naming the folder: no context.json, another version, a clip that is missing, a link or not the one that
// was written, and all that check(PromptContext) refuses.
PromptContext load_context(const std::filesystem::path& folder);

// The bundle with a patch on top that holds nothing but the context.
Bundle with_context(const Bundle& bundle, PromptContext context);

}  // namespace retune
