// What an export proved, for people; lalm/proof_json.h has it for programs.
#pragma once

#include <string>

#include "lalm/proof_json.h"

namespace retune {

// Asked of the measured and the reloaded model where no facts give questions.
inline constexpr const char* kProofQuestion = "What do you hear?";

std::string proof_text(const BundleProof& proof);

}  // namespace retune
