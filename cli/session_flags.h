// What the flags of every command mean for the library.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "cli/arguments.h"
#include "cli/console.h"
#include "cli/flag.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "facts/fact_set.h"
#include "graph/session.h"
#include "learning/step_observer.h"
#include "recipes/progress.h"
#include "tensor/staged_output.h"
#include "weights/export_proof.h"

namespace retune {

// --threads and --memory.
SessionOptions session_options(const Arguments& arguments);
// --force of the commands that have it.
Existing existing_output(const Arguments& arguments);
// --proof of the commands that write a bundle, and what it says (lalm/bundle_proof.h).
Flag proof_flag();
std::optional<ProofMode> proof_mode(const Arguments& arguments);
// --audio_root, else what facts/fact_set.h says for the file.
std::filesystem::path audio_root(const Arguments& arguments, const std::filesystem::path& facts_file);

// Draws what long work tells about itself, and stops it when a signal asks for that. `guard` and `console` outlive
// them.
Watch watch(Console& console, const InterruptGuard& guard);
StepObserver step_observer(Console& console);

// "1.5 GiB", "20.3 MiB", "512 B".
std::string size_text(std::int64_t bytes);

}  // namespace retune
