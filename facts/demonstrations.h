// Training facts as demonstrations of their edits, for methods that put them into the prompt.
//
//   demonstrations_of(FactSet::load("data/train/facts.json")).save("demonstrations.jsonl");
#pragma once

#include "facts/corpus.h"
#include "facts/fact_set.h"

namespace retune {

// An item for each probe of reliability, generality and the two localities, in that order, instance by instance; the
// request's id is the instance. Portability is left out: SAKE's training files have none. Facts without an old label
// are left out too. User error if nothing is left.
Corpus demonstrations_of(const FactSet& facts);

// Test clips must never be demonstrated: a user error naming the first clip that both name (TRACK/FILE). Needs no
// audio; refuse_shared_clips (fact_set.h) compares bytes, and runs before each edit.
void refuse_held_out_clips(const FactSet& facts, const FactSet& held_out);

}  // namespace retune
