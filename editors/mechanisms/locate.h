// What locate-then-edit methods do before they differ (methods.md 5.6, 5.7): the layer that a recipe names, the subject
// at it, and the vector that makes a request's answer likely there.
#pragma once

#include <string>
#include <vector>

#include "editors/mechanisms/context_views.h"
#include "editors/mechanisms/key_collector.h"
#include "editors/mechanisms/selector.h"
#include "editors/mechanisms/target_optimizer.h"
#include "facts/edit_request.h"

namespace retune {

// site (with this default and meaning) and selector.
std::vector<Setting> locate_settings(const std::string& default_site, const std::string& meaning);

// The linear layer of that name, whose weight may be edited. User error naming the method for anything else.
Site linear_site(const Bundle& bundle, const std::string& name, const std::string& method);

// The setting selector for a value and a request; 'auto' is last_prompt in the decoder and mean_audio before it.
Selector subject_at(const Bundle& bundle, const Site& site, const EditRequest& request, const Settings& settings);

struct LocatedRequest {
  std::vector<ContextView> views;
  Selector selector;
  std::vector<SiteReading> readings;  // of the views, at the target's site, of the bundle as it stands
  TargetVector target;
};

// A request's contexts and, at `site`, its target vector: v0 + delta is the value that makes its answer likely.
// Settings are those of this header, target_optimizer.h and context_views.h. `rng` draws the contexts.
LocatedRequest locate(Session& session, const Bundle& bundle, const LossGraphs& losses, const Site& site,
                      const EditRequest& request, const Settings& settings, const Rng& rng,
                      const StepObserver& observer = {});

}  // namespace retune
