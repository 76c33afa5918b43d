// What a study depends on, as one hash: two runs with the same identity give the same bytes.
#pragma once

#include "facts/corpus.h"
#include "facts/fact_set.h"
#include "lalm/bundle.h"
#include "recipes/recipe.h"
#include "tensor/content_hash.h"

namespace retune {

// Of everything that is asked and changed, the sound included. Where the files lie is of no account. Reads every clip.
ContentHash facts_hash(const FactSet& facts);

// Of the graphs, the weights, and the texts around them: tokenizer, template, front-end.
ContentHash model_hash(const Bundle& bundle);

// Of the resolved recipe without its paths, the model, the facts, the corpus (null: none), and retune's version.
ContentHash study_identity(const Recipe& recipe, const Bundle& bundle, const FactSet& facts, const Corpus* corpus);

}  // namespace retune
