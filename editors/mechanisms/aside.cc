#include "editors/mechanisms/aside.h"

#include <algorithm>

#include "lalm/insert_builder.h"

namespace retune {

bool has_insert(const Bundle& bundle, const std::string& name) {
  const auto& patches = bundle.view().patches();
  return std::any_of(patches.begin(), patches.end(), [&](const auto& patch) {
    return std::any_of(patch->inserts.begin(), patch->inserts.end(),
                       [&](const GraphInsert& insert) { return insert.name == name; });
  });
}

Bundle set_aside(const Bundle& bundle, const std::string& name, const Site& site) {
  if (!has_insert(bundle, name)) return bundle;
  InsertBuilder b(bundle, name, site.value);
  b.replace(site.value, b.op("Identity", {b.tap(site.value)}));
  Patch patch;
  patch.method = "aside";
  patch.graph_hash = bundle.view().graph_hash();
  patch.files = bundle.view().files();
  patch.beneath = bundle.view().patch_ids();
  patch.inserts.push_back(b.finish());
  return bundle.with(std::make_shared<const Patch>(std::move(patch)));
}

}  // namespace retune
