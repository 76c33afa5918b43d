#include "training/synth/labels.h"

#include "tensor/error.h"

namespace retune::synth {

std::span<const std::string_view> labels_of(std::string_view attribute) {
  if (attribute == kGender) return kGenders;
  if (attribute == kEmotion) return kEmotions;
  if (attribute == kLanguage) return kLanguages;
  if (attribute == kAnimal) return kAnimals;
  if (attribute == kToneHeight) return kToneHeights;
  if (attribute == kBeepCount) return kBeepCounts;
  if (attribute == kSoundKind) return kSoundKinds;
  throw failure("no attribute or sound task is called '{}'", attribute);
}

}  // namespace retune::synth
