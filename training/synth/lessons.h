// Questions with their true answers: what a model learns from (corpus) and is examined with (probes).
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "facts/corpus.h"
#include "facts/probe.h"
#include "tensor/rng.h"
#include "training/synth/clips.h"

namespace retune::synth {

// Of every clip of the split: each of its chosen attributes asked twice (animals four times, a sound task three times)
// in different wordings, and a second-hop question or two; then every text fact, in the split's wordings and six option
// orders each. The item's class is the clip's label of that attribute, also for second hops, so that all labels of a
// clip stand in the corpus.
Corpus lessons(std::span<const ClipPlan> plans, Split split, const std::vector<std::string>& attributes,
               const std::filesystem::path& audio_root, Rng rng);

// Of every clip of the split, for each of its chosen attributes: one first-hop question (kind plain), all wordings
// taking turns, and one second-hop question (kind portability, answered for the true label); then every text fact twice
// (kind text_locality, attribute "Text").
std::vector<Probe> examination(std::span<const ClipPlan> plans, Split split, const std::vector<std::string>& attributes,
                               const std::filesystem::path& audio_root, Rng rng);

}  // namespace retune::synth
