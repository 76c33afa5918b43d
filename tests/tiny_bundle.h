// A small audio-language model with random weights, written and opened like any other bundle, for tests that need a
// whole model and no knowledge in it.
//
//   ScratchFolder scratch;
//   write_tiny_bundle(scratch / "bundle");
//   save_waveform(scratch / "moo.wav", tone(180));
//   const Bundle base = Bundle::open(scratch / "bundle");
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "audio/waveform.h"
#include "lalm/bundle.h"
#include "training/lalm_builder.h"

namespace retune {

// Both are learnt by the tiny tokenizer.
inline constexpr const char* kTinyQuestion = "Which animal is it?\n\nOptions:\ncow\ncat\ndog";
inline constexpr const char* kTinyTextQuestion = "What has a trunk?\n\nOptions:\ncow\nelephant";

// Widths of 16, two encoder and three decoder blocks; `vocabulary` is 0.
LalmShape tiny_shape();

struct TinyBundleOptions {
  LalmShape shape = tiny_shape();  // `vocabulary` is set from the tokenizer
  std::uint64_t seed = 7;
  // What the trainer's first weights are multiplied by: an untrained model hardly listens, and edits of it would be
  // lost in rounding.
  float loudness = 8;
  // The type in which the weights are stored, f32, f16 or bf16, and that of everything between them, of inputs and of
  // outputs. Where they differ a Cast stands behind each weight, as exporters write it.
  DType stored = DType::kF32;
  DType arithmetic = DType::kF32;
};

void write_tiny_bundle(const std::filesystem::path& folder, const TinyBundleOptions& options = {});

// The bundle with a random rank-one change of a linear site upon it; each element's deviation is `size`.
Bundle with_random_change(const Bundle& bundle, const std::string& site, double size = 0.1);

// A beeping sine, 16 kHz.
Waveform tone(double hertz, double seconds = 0.5);

// Every file below a folder with its bytes, by relative path.
std::map<std::string, std::string> files_below(const std::filesystem::path& folder);
std::string bytes_of(const std::filesystem::path& file);

// Every parameter has the same bytes.
bool same_parameters(const Bundle& a, const Bundle& b);

// An empty folder of this process's own, removed with it.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace retune
