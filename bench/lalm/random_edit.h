// An edit as large as a real one, found without the time that it takes to find one.
#pragma once

#include <cstdint>

#include "lalm/bundle.h"

namespace retune::bench {

// The model with a rank-one change of the site's weight, another one for each seed; no stored type rounds it away.
Bundle randomly_edited(const Bundle& bundle, const Site& site, std::uint64_t seed);

}  // namespace retune::bench
