// A model with one of its inserts set aside: what a method trains on that grows or replaces what it left there before.
#pragma once

#include <string>

#include "lalm/bundle.h"
#include "lalm/site.h"

namespace retune {

// Whether a patch of the bundle's stack has an insert of that name.
bool has_insert(const Bundle& bundle, const std::string& name);

// The bundle as it would be without the insert `name`, which replaces site.value and nothing else; the bundle itself
// where it has none. Not to be saved: its topmost patch only hides the insert.
Bundle set_aside(const Bundle& bundle, const std::string& name, const Site& site);

}  // namespace retune
