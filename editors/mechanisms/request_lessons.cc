#include "editors/mechanisms/request_lessons.h"

namespace retune {

std::vector<Lesson> request_lessons(Session& session, const Bundle& bundle, std::span<const EditRequest> requests,
                                    const ContextOptions& contexts, Objective objective, const Rng& rng) {
  std::vector<Lesson> lessons;
  for (std::size_t i = 0; i < requests.size(); ++i)
    for (ContextView& context : context_views(session, bundle, requests[i], contexts, rng.fork("views", i)))
      lessons.push_back({std::move(context.view.prompt), target_ids(bundle, requests[i].new_label),
                         context.weight / static_cast<double>(requests.size()), objective});
  return lessons;
}

}  // namespace retune
