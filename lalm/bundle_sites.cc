#include "lalm/bundle.h"
#include "lalm/graph_structure.h"
#include "tensor/error.h"
#include "tensor/nearest_word.h"

namespace retune {

namespace {

std::string nearest_sites(const SiteMap& map, const std::string& name) {
  std::vector<std::string> names;
  for (const Site& site : map.sites) names.push_back(site.name);
  return nearest_words(name, names);
}

DeltaTarget whole(const Value& value, bool transposed) {
  return {.file = value.file,
          .initializer = value.initializer,
          .transposed = transposed,
          .slice = {},
          .stored = value.dtype,
          .sha256 = {}};
}

// node:NAME, the linear layer whose product is that node.
Site node_site(const Graph& graph, const std::string& name) {
  const std::string wanted = name.substr(5);
  const GraphStructure structure(graph);
  for (const LinearLayer& layer : structure.linears()) {
    if (graph.nodes()[static_cast<std::size_t>(layer.node)].name != wanted) continue;
    const Value& weight = graph.value(layer.weight);
    return {.name = name,
            .kind = Site::Kind::kLinear,
            .key = graph.value(layer.input).name,
            .value = graph.value(layer.output).name,
            .in = layer.in,
            .out = layer.out,
            .weight = weight.name,
            .delta_shape = {layer.out, layer.in},
            .targets = {whole(weight, layer.weight_is_transposed)},
            .bias = {}};
  }
  throw user_error("no linear layer is node '{}'; retune inspect lists the sites", wanted);
}

// init:NAME, or init:PREFIX/NAME where several files have it.
Site initializer_site(const Graph& graph, const std::string& name) {
  const std::string wanted = name.substr(5);
  std::vector<const Value*> found;
  for (const Value& value : graph.values())
    if (value.kind == ValueKind::kParameter && (value.initializer == wanted || value.name == wanted))
      found.push_back(&value);
  if (found.empty()) throw user_error("no initializer of weights is named '{}'; retune inspect lists them", wanted);
  if (found.size() > 1)
    throw user_error("{} initializers are named '{}': write init:{} or init:{}", found.size(), wanted, found[0]->name,
                     found[1]->name);
  return {.name = name,
          .kind = Site::Kind::kParameter,
          .key = {},
          .value = {},
          .in = 0,
          .out = 0,
          .weight = found[0]->name,
          .delta_shape = *found[0]->shape,
          .targets = {whole(*found[0], false)},
          .bias = {}};
}

}  // namespace

Site Bundle::site(const std::string& name) const {
  for (const Site& site : sites().sites)
    if (site.name == name) return site;
  // Of the model without the stack's inserts: what they bring is changed by patches of their own.
  if (name.starts_with("init:")) return initializer_site(plain_graph(), name);
  if (name.starts_with("node:")) {
    Site site = node_site(plain_graph(), name);
    if (inserted_)
      if (const auto own = inserted_->own_names.find(site.value); own != inserted_->own_names.end())
        site.value = own->second;
    return site;
  }
  throw user_error("{} has no site '{}'; the nearest are {}", folder().string(), name, nearest_sites(sites(), name));
}

std::vector<Site> Bundle::sites_in(const std::string& part) const {
  if (part.starts_with("node:") || part.starts_with("init:")) {
    Site named = site(part);
    require_editable(named);
    return {std::move(named)};
  }
  std::vector<Site> found;
  for (const Site& site : sites().sites)
    if (site.kind != Site::Kind::kResidual && (site.name == part || site.name.starts_with(part + ".")))
      found.push_back(site);
  if (found.empty())
    throw user_error("{} has no part '{}' with weights; the nearest sites are {}", folder().string(), part,
                     nearest_sites(sites(), part));
  for (const Site& site : found) require_editable(site);
  return found;
}

}  // namespace retune
