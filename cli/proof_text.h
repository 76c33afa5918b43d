// What an export proved, for people and for programs.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "lalm/bundle.h"

namespace retune {

// Asked of the measured and the reloaded model where no facts give questions.
inline constexpr const char* kProofQuestion = "What do you hear?";

std::string proof_text(const BundleProof& proof);
nlohmann::ordered_json proof_json(const BundleProof& proof);

}  // namespace retune
