// What an export proved, for programs: the keys that proof.json has (docs/formats/study.md) but for `schema` and
// `answers_proven`, which belong to a study.
#pragma once

#include <nlohmann/json.hpp>

#include "lalm/bundle_proof.h"

namespace retune {

// An object with `mode`, `files`, `copied` and `logit_difference`, in this order.
nlohmann::ordered_json proof_json(const BundleProof& proof);

}  // namespace retune
