// The audio front-end that a bundle declares in its preprocessor_config.json: from sound of any rate to what its
// encoder reads.
//
//   FrontEnd front_end = FrontEnd::load(folder / "preprocessor_config.json");
//   AudioFeatures heard = front_end.features(load_waveform(path), Padding::kNone);
//   for (const std::string& note : heard.notes) log(note);     // "resampled 44100 Hz to 16000 Hz (soxr HQ)"
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "audio/log_mel.h"
#include "audio/waveform.h"
#include "tensor/tensor.h"

namespace retune {

struct AudioFeatures {
  Tensor values;  // f32 [mels, frames]
  std::int64_t samples =
      0;  // at the front-end's rate, after cutting, before padding: what placeholder counts are computed from
  // What was done to the sound that its owner may not expect (resampled, cut), one sentence each; empty if nothing was.
  std::vector<std::string> notes;
};

class FrontEnd {
 public:
  // Reads `feature_extractor_type` (WhisperFeatureExtractor), `feature_size`, `sampling_rate`, `n_fft`, `hop_length`,
  // `chunk_length` (seconds) and, if it is there, `mel_filters`, a matrix [n_fft/2 + 1, feature_size] (or its
  // transpose) that overrides the computed filters, as it does in transformers.js. A missing number takes Whisper's
  // value. User error, naming the file and the field, for another extractor, a value of the wrong type or range, or a
  // matrix of another shape.
  static FrontEnd load(const std::filesystem::path& preprocessor_config);
  static FrontEnd parse(std::string_view json, std::string_view name_for_errors);

  // Resamples if the rate differs, cuts what exceeds chunk_seconds (both noted), then log_mel. Errors as log_mel and
  // resample.
  AudioFeatures features(const Waveform& waveform, Padding padding) const;

  // The settings as read; `padding` there is not used.
  const LogMelOptions& options() const { return options_; }

 private:
  FrontEnd(LogMelOptions options, MelFilters filters) : options_(options), filters_(std::move(filters)) {}

  LogMelOptions options_;
  MelFilters filters_;
};

}  // namespace retune
