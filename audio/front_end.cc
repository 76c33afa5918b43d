#include "audio/front_end.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <system_error>

#include "tensor/error.h"

namespace retune {

namespace fs = std::filesystem;

namespace {

using Json = nlohmann::json;

constexpr std::uintmax_t kMaxConfigBytes = 64 << 20;
constexpr int kMaxNesting = 16;

std::string read_config(const fs::path& path) {
  std::error_code error;
  const std::uintmax_t size = fs::file_size(path, error);
  if (error)
    throw user_error("{}: cannot read: {}; expected the bundle's audio settings", path.string(), error.message());
  if (size > kMaxConfigBytes) {
    throw user_error("{}: expected at most {} bytes of settings, got {}", path.string(), kMaxConfigBytes, size);
  }
  std::ifstream file(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file) throw failure("{}: cannot read", path.string());
  return text;
}

// What nests deeper than any such file is refused while it is read: printing and copying a value recurse.
Json parse_config(std::string_view json, std::string_view name) {
  const auto shallow = [&](int depth, Json::parse_event_t, const Json&) {
    if (depth > kMaxNesting) throw user_error("{}: nested more than {} deep; no such file is", name, kMaxNesting);
    return true;
  };
  try {
    return Json::parse(json, shallow);
  } catch (const Json::parse_error& error) {
    throw user_error("{}: not valid JSON at byte {} of {}", name, error.byte, json.size());
  } catch (const Json::out_of_range&) {
    throw user_error("{}: not valid JSON: a number is too large for a double", name);
  }
}

int integer_field(const Json& config, std::string_view field, int standard, std::string_view name) {
  const auto found = config.find(field);
  if (found == config.end() || found->is_null()) return standard;
  if (!found->is_number_integer() || *found < -1'000'000'000 || *found > 1'000'000'000) {
    throw user_error("{}: '{}': expected an integer, got {}", name, field, found->dump().substr(0, 40));
  }
  return found->get<int>();
}

// Settings that would change the features and that nothing here computes.
void refuse_unsupported(const Json& config, std::string_view name) {
  const auto type = config.find("feature_extractor_type");
  if (type == config.end() || !type->is_string()) {
    throw user_error("{}: 'feature_extractor_type' is missing: expected \"WhisperFeatureExtractor\"", name);
  }
  if (*type != "WhisperFeatureExtractor") {
    throw user_error("{}: audio front-end {} is not supported: expected \"WhisperFeatureExtractor\"", name,
                     type->dump());
  }
  for (const char* field : {"dither", "do_normalize"}) {
    const auto found = config.find(field);
    if (found == config.end() || found->is_null() || *found == 0 || *found == false) continue;
    throw user_error("{}: '{}' is {}, which is not supported: expected it to be off", name, field,
                     found->dump().substr(0, 40));
  }
}

// transformers.js reads the chunk's length from derived fields, Python from chunk_length: they have to agree.
void require_consistent(const Json& config, const LogMelOptions& options, std::string_view name) {
  const int samples = options.chunk_seconds * options.rate_hz;
  const auto require = [&](std::string_view field, int expected) {
    const int stated = integer_field(config, field, expected, name);
    if (stated != expected) {
      throw user_error("{}: '{}' is {}, but chunk_length, sampling_rate and hop_length make it {}", name, field, stated,
                       expected);
    }
  };
  require("n_samples", samples);
  require("nb_max_frames", samples / options.hop);
}

MelFilters filters_from(const Json& matrix, const LogMelOptions& options, std::string_view name) {
  const auto mels = static_cast<std::size_t>(options.mels);
  const auto bins = static_cast<std::size_t>(options.fft / 2) + 1;
  const auto is_matrix = [&](std::size_t rows, std::size_t columns) {
    return matrix.is_array() && matrix.size() == rows &&
           std::all_of(matrix.begin(), matrix.end(),
                       [&](const Json& row) { return row.is_array() && row.size() == columns; });
  };
  const bool by_mel = is_matrix(mels, bins);
  if (!by_mel && !is_matrix(bins, mels)) {
    throw user_error("{}: 'mel_filters': expected a matrix [{}, {}] or [{}, {}]", name, mels, bins, bins, mels);
  }
  MelFilters filters{options.mels, options.fft / 2 + 1, std::vector<double>(mels * bins)};
  for (std::size_t mel = 0; mel < mels; ++mel) {
    for (std::size_t bin = 0; bin < bins; ++bin) {
      const Json& value = by_mel ? matrix[mel][bin] : matrix[bin][mel];
      if (!value.is_number()) throw user_error("{}: 'mel_filters': expected numbers, got {}", name, value.type_name());
      filters.weights[mel * bins + bin] = value.get<double>();
    }
  }
  return filters;
}

}  // namespace

FrontEnd FrontEnd::load(const fs::path& preprocessor_config) {
  return parse(read_config(preprocessor_config), preprocessor_config.string());
}

FrontEnd FrontEnd::parse(std::string_view json, std::string_view name) {
  const Json config = parse_config(json, name);
  if (!config.is_object()) throw user_error("{}: expected a JSON object, got {}", name, config.type_name());
  refuse_unsupported(config, name);

  LogMelOptions options;
  options.mels = integer_field(config, "feature_size", options.mels, name);
  options.rate_hz = integer_field(config, "sampling_rate", options.rate_hz, name);
  options.fft = integer_field(config, "n_fft", options.fft, name);
  options.hop = integer_field(config, "hop_length", options.hop, name);
  options.chunk_seconds = integer_field(config, "chunk_length", options.chunk_seconds, name);
  try {
    options.validate();
  } catch (const Error& error) {
    throw user_error("{}: {}", name, error.what());
  }
  require_consistent(config, options, name);
  const auto matrix = config.find("mel_filters");
  const bool overridden = matrix != config.end() && !matrix->is_null();
  return {options, overridden ? filters_from(*matrix, options, name) : slaney_mel_filters(options)};
}

AudioFeatures FrontEnd::features(const Waveform& waveform, Padding padding) const {
  AudioFeatures result;
  LogMelOptions options = options_;
  options.padding = padding;
  Waveform resampled;
  const Waveform* sound = &waveform;
  if (waveform.rate_hz != options.rate_hz) {
    resampled = resample(waveform, options.rate_hz);
    sound = &resampled;
    result.notes.push_back(fmt::format("resampled {} Hz to {} Hz (soxr HQ)", waveform.rate_hz, options.rate_hz));
  }
  const std::int64_t chunk = std::int64_t{options.chunk_seconds} * options.rate_hz;
  result.samples = std::min(chunk, static_cast<std::int64_t>(sound->samples.size()));
  if (result.samples < static_cast<std::int64_t>(sound->samples.size())) {
    result.notes.push_back(fmt::format("cut {:.2f} s to the first {} s", sound->seconds(), options.chunk_seconds));
  }
  result.values = log_mel(*sound, options, filters_);
  return result;
}

}  // namespace retune
