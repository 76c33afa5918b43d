// The sizes of a work, as NAME=VALUE on the command line, and the random inputs that have them: only shapes matter to
// speed, and all contenders make them alike.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/lalm/measurement.h"
#include "graph/session.h"
#include "lalm/bundle.h"
#include "lalm/prompt.h"
#include "tensor/tensor.h"

namespace retune::bench {

struct Sizes {
  // A batch of prompts of which the first `clips` have a clip of `frames` mel frames, then `text` tokens each.
  std::int64_t batch = 32, clips = 24, text = 72, frames = 200;
  std::int64_t positions = 48;  // rows of a prompt and its answer, where works have one prompt after another
  std::int64_t block = 8;       // of the decoder that is edited, counted from 0
  std::int64_t steps = 20;      // of an edit
  std::int64_t questions = 12;
  std::int64_t tokens = 32;  // generated
  std::string facts;         // a SAKE file
  std::string out;           // where to export to
  std::string of;            // products: forward or forward_backward
  Repeats repeats;           // runs, warm_up, profile
};

// User error for a name that is none of the above.
Sizes sizes_of(const std::vector<std::string>& options);

struct Contender {
  std::string folder;  // of the bundle
  int threads = 0;
  Sizes sizes;
};

Tensor noise(const Shape& shape, std::uint64_t seed);  // f32, normal

// `count` ids below the placeholder's.
std::vector<std::int64_t> random_ids(const Bundle& bundle, std::int64_t count, std::uint64_t seed);

// Rows of a prompt that a clip of `frames` mel frames takes.
std::int64_t audio_slots(Session& session, const Bundle& bundle, std::int64_t frames);

// Of text alone.
Prompt text_prompt(const Bundle& bundle, std::int64_t length, std::uint64_t seed);

// Random sound; its version is known, as audio_feed()'s is.
Feed random_clip(const Bundle& bundle, std::int64_t frames, std::uint64_t seed);

// Three tokens, the clip's slots, then text up to `length`; prompts of one clip share all up to the text.
Prompt sound_prompt(const Bundle& bundle, const Feed& clip, std::int64_t slots, std::int64_t length,
                    std::uint64_t seed);

// As torch_lalm.batch_of makes it: the clips' slots from position 3 of the first rows on; a loss on the last 4 rows.
Request batch_request(Session& session, const Bundle& bundle, const Sizes& sizes);

}  // namespace retune::bench
