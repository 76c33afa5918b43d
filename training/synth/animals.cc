#include "training/synth/animals.h"

#include <algorithm>
#include <array>

#include "tensor/error.h"
#include "training/synth/call.h"
#include "training/synth/labels.h"
#include "training/synth/waveshape.h"

namespace retune::synth {

namespace {

// Draws for one clip: every number from the split's own cells.
struct Draws {
  Split split;
  Rng& rng;
  double operator()(double low, double high) { return draw({low, high}, split, rng); }
  int count(int low, int high) { return low + static_cast<int>(rng.below(static_cast<std::uint64_t>(high - low + 1))); }
};

void dog(Waveform& wave, Draws& pick) {
  Call bark;
  bark.seconds = pick(0.14, 0.24);
  const double pitch = pick(260, 420);
  bark.pitch_hz = {0.75 * pitch, 1.35 * pitch, 1.1 * pitch, 0.6 * pitch};
  bark.throat = {{pick(500, 700), 450, 250, 1}, {pick(1000, 1400), 900, 400, 0.8}, {2600, 2300, 700, 0.25}};
  bark.breath = pick(0.2, 0.35);
  bark.jitter = 0.04;
  bark.attack_seconds = 0.01;
  bark.release_seconds = 0.08;
  const double gap = pick(0.18, 0.42);
  const int barks = pick.count(2, 4);
  for (int i = 0; i < barks; ++i) add_call(wave, i * (bark.seconds + gap), bark, pick.rng);
}

void cat(Waveform& wave, Draws& pick) {
  Call meow;
  meow.seconds = pick(0.65, 1.05);
  const double pitch = pick(480, 760);
  meow.pitch_hz = {0.8 * pitch, 1.15 * pitch, 1.2 * pitch, pitch, 0.7 * pitch};
  meow.throat = {{pick(900, 1100), 700, 220, 1}, {pick(2300, 2700), 1300, 350, 0.7}, {3800, 3300, 600, 0.3}};
  meow.breath = pick(0.01, 0.05);
  meow.jitter = 0.008;
  meow.attack_seconds = 0.12;
  meow.release_seconds = 0.25;
  const int meows = pick.count(1, 2);
  const double gap = pick(0.1, 0.3);
  for (int i = 0; i < meows; ++i) add_call(wave, i * (meow.seconds + gap), meow, pick.rng);
}

void pig(Waveform& wave, Draws& pick) {
  Call oink;
  oink.throat = {{pick(350, 500), 420, 220, 1}, {pick(950, 1250), 1000, 350, 0.9}, {2000, 2200, 500, 0.4}};
  oink.breath = pick(0.45, 0.6);
  oink.jitter = 0.12;
  oink.flutter_hz = pick(28, 42);
  oink.flutter_depth = pick(0.6, 0.85);
  oink.attack_seconds = 0.02;
  oink.release_seconds = 0.05;
  const int oinks = pick.count(3, 5);
  const double gap = pick(0.1, 0.24);
  double at = 0;
  for (int i = 0; i < oinks; ++i) {
    oink.seconds = pick(0.12, 0.26);
    const double pitch = pick(85, 135);
    oink.pitch_hz = {0.9 * pitch, 1.3 * pitch, 0.9 * pitch};
    add_call(wave, at, oink, pick.rng);
    at += oink.seconds + gap;
  }
}

void cow(Waveform& wave, Draws& pick) {
  Call moo;
  moo.seconds = pick(1.25, 1.75);
  const double pitch = pick(95, 150);
  moo.pitch_hz = {0.8 * pitch, pitch, 1.1 * pitch, 1.05 * pitch, 0.75 * pitch};
  moo.throat = {{220, pick(380, 480), 130, 1}, {600, pick(750, 950), 220, 0.45}, {1500, 1700, 400, 0.08}};
  moo.breath = pick(0.01, 0.04);
  moo.jitter = 0.01;
  moo.attack_seconds = 0.3;
  moo.release_seconds = 0.35;
  add_call(wave, 0, moo, pick.rng);
}

void frog(Waveform& wave, Draws& pick) {
  Call croak;
  croak.seconds = pick(0.22, 0.36);
  const double carrier = pick(1000, 1700);
  const double pitch = pick(180, 260);
  croak.pitch_hz = {pitch, 1.05 * pitch, 1.2 * pitch};
  croak.throat = {{carrier, 1.15 * carrier, 160, 1}, {2.1 * carrier, 2.2 * carrier, 250, 0.25}};
  croak.breath = pick(0.02, 0.08);
  croak.flutter_hz = pick(34, 55);
  croak.flutter_depth = 1;
  croak.attack_seconds = 0.04;
  croak.release_seconds = 0.04;
  const double gap = pick(0.1, 0.3);
  const int croaks = pick.count(2, 4);
  for (int i = 0; i < croaks; ++i) add_call(wave, i * (croak.seconds + gap), croak, pick.rng);
}

void hen(Waveform& wave, Draws& pick) {
  Call cluck;
  cluck.throat = {{pick(900, 1150), 850, 300, 1}, {pick(1900, 2300), 1900, 450, 0.5}};
  cluck.breath = pick(0.12, 0.25);
  cluck.jitter = 0.03;
  cluck.attack_seconds = 0.006;
  cluck.release_seconds = 0.03;
  const double pitch = pick(420, 620);
  const double gap = pick(0.11, 0.19);
  const int clucks = pick.count(4, 7);
  double at = 0;
  for (int i = 0; i < clucks; ++i) {
    cluck.seconds = pick(0.045, 0.075);
    cluck.pitch_hz = {1.2 * pitch, 0.8 * pitch};
    add_call(wave, at, cluck, pick.rng);
    at += cluck.seconds + gap;
  }
  Call cackle = cluck;
  cackle.seconds = pick(0.22, 0.34);
  cackle.pitch_hz = {pitch, 1.7 * pitch, 1.5 * pitch};
  cackle.release_seconds = 0.08;
  add_call(wave, at, cackle, pick.rng);
}

void rooster(Waveform& wave, Draws& pick) {
  const double pitch = pick(560, 760);
  const double tempo = pick(0.8, 1.1);
  struct Note {
    double seconds, from, to;
  };
  // cock-a-doodle-doo: two short notes, a rise, and the long falling end
  constexpr std::array<Note, 4> kNotes{{{0.16, 0.8, 0.9}, {0.14, 1.0, 1.0}, {0.34, 1.1, 1.45}, {0.75, 1.4, 0.75}}};
  Call note;
  note.throat = {{pick(1100, 1400), 1200, 500, 1}, {pick(2500, 3000), 2500, 700, 0.9}, {4200, 4000, 900, 0.4}};
  note.breath = pick(0.04, 0.1);
  note.jitter = 0.012;
  note.attack_seconds = 0.03;
  note.release_seconds = 0.06;
  double at = 0;
  for (const Note& part : kNotes) {
    note.seconds = tempo * part.seconds;
    note.pitch_hz = {part.from * pitch, 1.05 * std::max(part.from, part.to) * pitch, part.to * pitch};
    add_call(wave, at, note, pick.rng);
    at += note.seconds + 0.03;
  }
}

void sheep(Waveform& wave, Draws& pick) {
  Call baa;
  baa.seconds = pick(0.75, 1.15);
  const double pitch = pick(210, 330);
  const double wobble_hz = pick(7.5, 11.5);
  const int points = 64;
  for (int i = 0; i < points; ++i) {
    const double seconds = baa.seconds * i / points;
    const double fall = 1.05 - 0.15 * i / points;
    baa.pitch_hz.push_back(pitch * fall * (1 + 0.07 * ((static_cast<int>(2 * wobble_hz * seconds) % 2 == 0) ? 1 : -1)));
  }
  baa.throat = {{pick(650, 850), 650, 200, 1}, {pick(1500, 1800), 1500, 300, 0.9}, {2600, 2500, 400, 0.6}};
  baa.breath = pick(0.05, 0.14);
  baa.jitter = 0.015;
  baa.flutter_hz = wobble_hz;
  baa.flutter_depth = pick(0.45, 0.7);
  baa.attack_seconds = 0.06;
  baa.release_seconds = 0.15;
  add_call(wave, 0, baa, pick.rng);
  if (pick.count(0, 1) == 1) add_call(wave, baa.seconds + pick(0.12, 0.3), baa, pick.rng);
}

void crow(Waveform& wave, Draws& pick) {
  Call caw;
  caw.seconds = pick(0.26, 0.42);
  const double pitch = pick(340, 480);
  caw.pitch_hz = {0.9 * pitch, 1.1 * pitch, pitch, 0.8 * pitch};
  caw.throat = {{pick(1350, 1700), 1200, 450, 1}, {pick(2000, 2500), 1900, 600, 0.8}, {3400, 3200, 800, 0.35}};
  caw.breath = pick(0.45, 0.65);
  caw.jitter = 0.1;
  caw.flutter_hz = pick(62, 95);
  caw.flutter_depth = pick(0.5, 0.8);
  caw.attack_seconds = 0.03;
  caw.release_seconds = 0.1;
  const double gap = pick(0.15, 0.35);
  const int caws = pick.count(2, 4);
  for (int i = 0; i < caws; ++i) add_call(wave, i * (caw.seconds + gap), caw, pick.rng);
}

struct Animal {
  std::string_view name;
  void (*call)(Waveform&, Draws&);
};

constexpr std::array<Animal, 9> kCallers{{{"dog", dog},
                                          {"cat", cat},
                                          {"pig", pig},
                                          {"cow", cow},
                                          {"frog", frog},
                                          {"hen", hen},
                                          {"rooster", rooster},
                                          {"sheep", sheep},
                                          {"crow", crow}}};

}  // namespace

Waveform render_animal(std::string_view animal, Split split, double clip_seconds, int rate_hz, Rng& rng) {
  const auto caller = std::find_if(kCallers.begin(), kCallers.end(), [&](const Animal& a) { return a.name == animal; });
  if (caller == kCallers.end()) throw failure("no call for the animal '{}'", animal);
  Draws pick{split, rng};
  Waveform wave;
  wave.rate_hz = rate_hz;
  caller->call(wave, pick);
  set_level(wave.samples, pick(-29, -19));
  return place(wave, {clip_seconds, pick(0.0, 0.2), pick(-68, -52)}, rng);
}

}  // namespace retune::synth
