// Speech by the espeak-ng program, run as a child process without a shell.
//
//   Waveform speech = speak({.text = "Der Hund schläft.", .voice = "de", .variant = "f2", .pitch = 60});
#pragma once

#include <string>

#include "audio/waveform.h"

namespace retune::synth {

struct Utterance {
  std::string text;            // UTF-8, one sentence
  std::string voice;           // a language of espeak-ng: "de", "ja"
  std::string variant;         // a speaker of espeak-ng: "m1" ... "m8" male, "f1" ... "f5" female
  int pitch = 50;              // espeak-ng's scale, 0 to 99
  int range_percent = 100;     // of the voice's own pitch range, 0 to 200
  int words_per_minute = 175;  // 80 to 450
};

// Mono samples at espeak-ng's own rate (22,050 Hz). Threads may call it at once. User error if the program is not
// installed, failure if it fails, stays silent or takes longer than half a minute.
Waveform speak(const Utterance& utterance);

// Whether the program can be started at all.
bool espeak_installed();

// The program's own version line. The same errors.
std::string espeak_version();

}  // namespace retune::synth
