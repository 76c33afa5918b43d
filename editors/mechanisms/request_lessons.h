// Edit requests as lessons for methods that train on the answer itself: each request in each of its contexts, the
// requests weighing the same.
#pragma once

#include <span>
#include <vector>

#include "editors/mechanisms/context_views.h"
#include "facts/edit_request.h"
#include "learning/lesson.h"
#include "tensor/rng.h"

namespace retune {

// The lessons' weights sum to one. The same Rng gives the same lessons. Errors as context_views and target_ids.
std::vector<Lesson> request_lessons(Session& session, const Bundle& bundle, std::span<const EditRequest> requests,
                                    const ContextOptions& contexts, Objective objective, const Rng& rng);

}  // namespace retune
