// What goes into a site and what comes out of it at the positions that a selector chooses: keys and values of
// locate-then-edit methods.
//
// Only the rows from the first chosen position on are executed; the prefix comes from the decoder's own cache
// (architecture decision 3). read_changing_site() is for weights that change between readings.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "editors/mechanisms/context_views.h"
#include "editors/mechanisms/selector.h"
#include "graph/session.h"
#include "lalm/bundle.h"

namespace retune {

// Where a selector falls for one prompt at one site.
struct Placement {
  std::int64_t cut = 0;            // the suffix that must be evaluated begins here (lalm/answer.h)
  std::vector<std::int64_t> rows;  // of the site's value in the request of that suffix, leading axes flattened
  std::vector<std::int64_t>
      positions;  // in the prompt: where the selector reads, and for sites before it the audio slots
};

struct SiteReading {
  Placement placement;
  std::vector<double> key;    // [site.in], the mean over the placement's rows; empty for a site without a key
  std::vector<double> value;  // [site.out], likewise
};

// One prompt. Errors as select_positions and select_audio_rows.
SiteReading read_site(Session& session, const Bundle& bundle, const Site& site, const Selector& selector,
                      const PromptView& view);

// One reading a view, in their order.
std::vector<SiteReading> read_site(Session& session, const Bundle& bundle, const Site& site, const Selector& selector,
                                   std::span<const ContextView> views);

// The same of a model that is changing: `varying` are the parameters (linked names) that differ from the reading before
// and will differ in the next. The prompt is executed whole but up to the site only, because the cache of a prefix
// would hold all blocks and be stale at once; what the parameters do not reach is kept.
SiteReading read_changing_site(Session& session, const Bundle& bundle, const Site& site, const Selector& selector,
                               const PromptView& view, const std::vector<std::string>& varying);

struct KeyValue {
  std::vector<double> key, value;
};
// The weighted mean over the views.
KeyValue mean_of(std::span<const ContextView> views, std::span<const SiteReading> readings);

}  // namespace retune
