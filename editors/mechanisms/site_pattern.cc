#include "editors/mechanisms/site_pattern.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "editors/editor.h"
#include "tensor/error.h"
#include "tensor/nearest_word.h"

namespace retune {

namespace {

// The part of a name before its first dot, which is taken off.
std::string_view take_part(std::string_view& name) {
  const std::size_t dot = std::min(name.find('.'), name.size());
  const std::string_view part = name.substr(0, dot);
  name.remove_prefix(std::min(dot + 1, name.size()));
  return part;
}

// Whether the pattern is the name or, part by part, its beginning.
bool matches(std::string_view pattern, std::string_view name) {
  while (!pattern.empty()) {
    if (name.empty()) return false;
    const std::string_view wanted = take_part(pattern), part = take_part(name);
    if (wanted != "*" && wanted != part) return false;
  }
  return true;
}

bool is_linear(const Site& site) { return site.kind == Site::Kind::kLinear && !site.key.empty(); }

std::vector<Site> named(const Bundle& bundle, const std::string& pattern) {
  std::vector<Site> found;
  if (pattern.find('*') == std::string::npos) {
    for (Site& site : bundle.sites_in(part_in(bundle.sites(), pattern)))
      if (is_linear(site)) found.push_back(std::move(site));
  } else {
    for (const Site& site : bundle.sites().sites)
      if (is_linear(site) && matches(pattern, site.name)) found.push_back(site);
  }
  if (!found.empty()) return found;
  std::vector<std::string> names;
  for (const Site& site : bundle.sites().sites)
    if (is_linear(site)) names.push_back(site.name);
  throw user_error("{} has no linear layer '{}'; the nearest are {}", bundle.folder().string(), pattern,
                   nearest_words(pattern, names));
}

}  // namespace

std::vector<Site> linear_sites(const Bundle& bundle, const std::vector<std::string>& patterns) {
  std::vector<Site> sites;
  std::set<std::string> known;
  for (const std::string& pattern : patterns)
    for (Site& site : named(bundle, pattern))
      if (known.insert(site.name).second) sites.push_back(std::move(site));
  return sites;
}

}  // namespace retune
