// The labels of SAKE's four attributes (methods.md 8.1) and of the further sound task of audio locality type 4.
#pragma once

#include <array>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace retune::synth {

inline constexpr std::string_view kGender = "Gender";
inline constexpr std::string_view kEmotion = "Emotion";
inline constexpr std::string_view kLanguage = "Language";
inline constexpr std::string_view kAnimal = "Animal";
// Not editable attributes: tasks on sounds that are neither speech nor animal, under SAKE's track name for such tasks.
inline constexpr std::string_view kToneHeight = "DynamicSuperb/ToneHeight";
inline constexpr std::string_view kBeepCount = "DynamicSuperb/BeepCount";
inline constexpr std::string_view kSoundKind = "DynamicSuperb/SoundKind";

inline constexpr std::array<std::string_view, 4> kAttributes{kGender, kEmotion, kLanguage, kAnimal};
inline constexpr std::array<std::string_view, 3> kSoundTasks{kToneHeight, kBeepCount, kSoundKind};

inline constexpr std::array<std::string_view, 2> kGenders{"male", "female"};
inline constexpr std::array<std::string_view, 5> kEmotions{"happy", "disgust", "sad", "fear", "angry"};
inline constexpr std::array<std::string_view, 8> kLanguages{"English", "German",  "Spanish",  "French",
                                                            "Italian", "Chinese", "Japanese", "Korean"};
inline constexpr std::array<std::string_view, 9> kAnimals{"dog", "cat",     "pig",   "cow", "frog",
                                                          "hen", "rooster", "sheep", "crow"};
inline constexpr std::array<std::string_view, 2> kToneHeights{"high", "low"};
inline constexpr std::array<std::string_view, 4> kBeepCounts{"one", "two", "three", "four"};
inline constexpr std::array<std::string_view, 4> kSoundKinds{"noise", "tone", "clicks", "sweep"};

// What is true of a clip: attribute or task to label. A speech clip has gender, emotion and language, an animal its
// animal, any other sound the one task it was made for.
using Labels = std::map<std::string, std::string, std::less<>>;

// Every label of an attribute or a sound task, in canonical spelling. Throws a failure for another name.
std::span<const std::string_view> labels_of(std::string_view attribute);

}  // namespace retune::synth
