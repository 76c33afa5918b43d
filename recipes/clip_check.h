// Whether clips can be heard, found before work starts that would write.
//
//   check_clips(facts.clips(), session.pool(), watch);
#pragma once

#include <optional>
#include <vector>

#include "facts/clip.h"
#include "recipes/progress.h"
#include "tensor/thread_pool.h"

namespace retune {

// Decodes every file once, however many ask about it, on the pool, and keeps no sound. The first use, in the order
// given, of a clip that is missing, empty, cut off, no audio or silent is a user error that names the user, the clip
// and its file. Progress "listen". Returns the clip that lasts longest; none of none.
std::optional<Clip> check_clips(const std::vector<ClipUse>& uses, ThreadPool& pool, const Watch& watch = {});

}  // namespace retune
