// Whether two views of a model, or two models on disk, have the same weights as stored.
#pragma once

#include <string>
#include <vector>

#include "adapters/model_view.h"

namespace retune {

// Names of the parameters whose stored bytes differ, in their order. User errors: another graph, or a parameter that
// only one of them has.
// `observer` counts parameters.
std::vector<std::string> differing_parameters(const ModelView& a, const ModelView& b,
                                              const WorkObserver& observer = {});

}  // namespace retune
