#include "cli/clip_file.h"

#include "tensor/error.h"

namespace retune {

Waveform load_audible(const std::filesystem::path& file) {
  Waveform clip = load_waveform(file);
  if (is_silent(clip)) throw user_error("{} is silent: every sample is zero", file.string());
  return clip;
}

}  // namespace retune
