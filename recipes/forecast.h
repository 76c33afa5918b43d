// How much memory a Session will take for work, found by rehearsing it (graph/session.h) on the largest prompt.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "eval/ask.h"
#include "facts/clip.h"
#include "facts/fact_set.h"
#include "facts/probe.h"
#include "graph/session.h"

namespace retune {

// Puts work to a rehearsing Session; must not depend on the results.
using Rehearsal = std::function<void(Session&)>;

// The most that the work holds at a time in a Session of these options when nothing is kept between requests.
std::int64_t working_bytes(const Rehearsal& work, SessionOptions options);
// What is kept behind the work when nothing has to make room.
std::int64_t kept_bytes(const Rehearsal& work, int threads);

// The probe of the longest question, about `longest` if any of the probes is about a clip. `probes` must not be empty.
Probe largest_probe(const std::vector<Probe>& probes, const std::optional<Clip>& longest);
// The fact with the longest question; its request and first probe are about `longest`.
Fact largest_fact(const std::vector<Fact>& facts, const std::optional<Clip>& longest);

// What a model will be asked when `probe` is put to it: an answer as long as the expected one is generated, as the
// length that a model will choose is not known.
AskSettings rehearsed(AskSettings decoding, const Bundle& bundle, const Probe& probe);

}  // namespace retune
