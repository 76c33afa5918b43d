#include "bench/lalm/random_edit.h"

#include "adapters/patch.h"
#include "bench/lalm/prompts.h"
#include "learning/site_weight.h"

namespace retune::bench {

Bundle randomly_edited(const Bundle& bundle, const Site& site, std::uint64_t seed) {
  Patch patch;
  patch.method = "ft";
  patch.graph_hash = bundle.view().graph_hash();
  for (const auto& [file, model] : bundle.models()) patch.files[file] = model->graph_hash();
  patch.deltas.push_back({site.name, site.delta_shape,
                          LowRankDelta{noise({site.out, 1}, seed), noise({site.in, 1}, seed + 1)},
                          hashed_targets(bundle.view(), site)});
  return bundle.with(std::make_shared<const Patch>(std::move(patch)));
}

}  // namespace retune::bench
