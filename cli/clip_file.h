// A clip named on the command line.
#pragma once

#include <filesystem>

#include "audio/waveform.h"

namespace retune {

// User errors: those of load_waveform, and a clip in which every sample is zero: a question about it has no answer.
Waveform load_audible(const std::filesystem::path& file);

}  // namespace retune
