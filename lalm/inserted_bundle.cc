#include "lalm/inserted_bundle.h"

#include <algorithm>
#include <set>

#include "graph/canonicalize.h"
#include "graph/graph_copy.h"
#include "lalm/link.h"
#include "tensor/error.h"

namespace retune {

namespace {

int opset_of(const OnnxModel& model) {
  for (const auto& import : model.skeleton().opset_import())
    if (import.domain().empty() || import.domain() == "ai.onnx") return static_cast<int>(import.version());
  return 0;
}

// Sites whose value or key is a replaced output of the linked graph read what their module gives.
SiteMap with_own_values(SiteMap sites, const std::map<std::string, std::string>& own_names) {
  for (Site& site : sites.sites)
    for (std::string* name : {&site.key, &site.value})
      if (const auto own = own_names.find(*name); own != own_names.end()) *name = own->second;
  return sites;
}

// What a value of a file is called in the linked graph: outputs of the decoder have their own name there.
std::string linked_name(const Graph& linked, const std::string& prefix, const std::string& name) {
  const bool is_output = prefix == kDecoderPrefix && linked.find(prefix + name) == kNoValue;
  return is_output ? name : prefix + name;
}

}  // namespace

BundleFile BundleFile::of(std::string name, std::string prefix, std::shared_ptr<const OnnxModel> model, Graph graph) {
  InsertHost host{std::make_shared<const Graph>(std::move(graph)), opset_of(*model), {}};
  host.record = InsertRecord::of(*model, *host.graph);
  return {std::move(name), std::move(prefix), std::move(model), std::move(host)};
}

std::shared_ptr<const InsertedBundle> insert_into(const BundleFiles& files, const std::vector<StackedInsert>& inserts,
                                                  const SiteMap& sites) {
  auto result = std::make_shared<InsertedBundle>();
  std::vector<std::shared_ptr<const Graph>> graphs;
  std::size_t used = 0;
  for (const BundleFile& file : files) {
    graphs.push_back(file.host.graph);
    result->per_call = result->per_call || file.host.record.per_call;
    std::vector<StackedInsert> here;
    std::copy_if(inserts.begin(), inserts.end(), std::back_inserter(here),
                 [&](const StackedInsert& stacked) { return stacked.insert->file == file.name; });
    if (here.empty()) continue;
    used += here.size();
    if (file.model->skeleton().functions_size() > 0)
      throw user_error("insert '{}': {} has model functions, into which nothing can be inserted; inline them first",
                       here.front().insert->name, file.name);
    InsertedGraph inserted = insert_into(file.host, here);
    for (const StackedInsert& stacked : here) result->per_call = result->per_call || stacked.insert->per_call;
    for (auto& [name, feed] : inserted.parameters) result->parameters[file.prefix + name] = feed;
    if (file.prefix == kDecoderPrefix)
      for (const auto& [output, own] : inserted.own_names) result->own_names[output] = file.prefix + own;
    else
      for (const auto& [output, own] : inserted.own_names) result->own_names[file.prefix + output] = file.prefix + own;
    result->additions[file.name] = std::move(inserted.addition);
    graphs.back() = std::move(inserted.graph);
  }
  if (used != inserts.size()) {
    std::string names;
    for (const BundleFile& file : files) names += (names.empty() ? "" : ", ") + file.name;
    for (const StackedInsert& stacked : inserts)
      if (names.find(stacked.insert->file) == std::string::npos)
        throw user_error("insert '{}' is for {}, which this model does not have; it has {}", stacked.insert->name,
                         stacked.insert->file, names);
  }
  result->graph = std::make_shared<const Graph>(link({graphs[0].get(), graphs[1].get(), graphs[2].get()}));
  result->text_graph = std::make_shared<const Graph>(link({nullptr, graphs[1].get(), graphs[2].get()}));
  result->sites = with_own_values(sites, result->own_names);
  return result;
}

SiteMap find_sites(const Graph& linked, const BundleFiles& files) {
  std::map<ValueId, ValueId> owns;  // by the stand-in
  std::size_t unknown = 0;
  for (const BundleFile& file : files) {
    unknown += file.host.record.unknown;
    for (const auto& [own, stand_in] : file.host.record.stand_ins)
      owns[linked.require(linked_name(linked, file.prefix, stand_in))] =
          linked.require(linked_name(linked, file.prefix, own));
  }
  SiteMap sites;
  if (owns.empty()) {
    sites = find_sites(linked);
  } else {
    // Whoever reads a stand-in reads the module's own value instead.
    GraphCopy copy(linked);
    copy.leaves();
    std::map<ValueId, ValueId> stand_ins;  // in the copy
    for (std::size_t n = 0; n < linked.nodes().size(); ++n) {
      copy.node(n);
      for (const ValueId output : linked.nodes()[n].outputs) {
        const auto own = owns.find(output);
        if (own == owns.end()) continue;
        stand_ins[output] = copy.at(output);
        copy.set(output, copy.at(own->second));
      }
    }
    std::map<std::string, std::string> own_names;
    for (const ValueId output : linked.outputs) {
      if (owns.count(output) == 0) continue;
      const std::string name = linked.value(output).name;
      own_names[name] = copy.result().value(copy.at(output)).name;
      copy.result().rename(stand_ins.at(output), name + " (stand-in)");
      copy.result().rename(copy.at(output), name);
    }
    sites = with_own_values(find_sites(prune(copy.finish())), own_names);
  }
  if (unknown > 0)
    sites.unmatched.push_back(
        fmt::format("inserts: {} that an earlier export recorded are not in the graph as it is now", unknown));
  return sites;
}

DType float_type_of(const Graph& graph, const std::string& value) {
  std::set<ValueId> seen;
  std::vector<ValueId> pending{graph.require(value)};
  while (!pending.empty()) {
    const ValueId id = pending.back();
    pending.pop_back();
    if (id == kNoValue || !seen.insert(id).second) continue;
    if (is_float(graph.value(id).dtype)) return graph.value(id).dtype;
    const Node* node = graph.producer(id);
    if (node == nullptr || graph.value(id).dtype != DType::kUndefined) continue;
    if (node->op == "Cast") {
      const auto to = static_cast<DType>(node->attributes.i("to", 1));
      if (is_float(to)) return to;
      continue;
    }
    // Operators give the type of their first float; what they read of integers and conditions has none.
    pending.insert(pending.end(), node->inputs.rbegin(), node->inputs.rend());
  }
  return DType::kUndefined;
}

}  // namespace retune
