#include "adapters/view_difference.h"

#include "tensor/error.h"

namespace retune {

std::vector<std::string> differing_parameters(const ModelView& a, const ModelView& b, const WorkObserver& observer) {
  if (a.graph_hash() != b.graph_hash())
    throw user_error("the two models have different graphs; only weights can be compared");
  if (a.parameters().size() != b.parameters().size())
    throw user_error("the two models have {} and {} parameters", a.parameters().size(), b.parameters().size());
  std::vector<std::string> names;
  std::int64_t compared = 0;
  for (const auto& [name, feed] : a.parameters()) {
    if (observer) observer(++compared, static_cast<std::int64_t>(a.parameters().size()));
    const auto other = b.parameters().find(name);
    if (other == b.parameters().end()) throw user_error("only one of the two models has the parameter '{}'", name);
    if (!identical(feed.tensor, other->second.tensor)) names.push_back(name);
  }
  return names;
}

}  // namespace retune
