// A bundle's files with the inserts of a stack of patches in them, linked again.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "adapters/inserted_graph.h"
#include "graph/graph.h"
#include "lalm/site.h"
#include "weights/onnx_addition.h"
#include "weights/onnx_model.h"

namespace retune {

// One file of a bundle, as it is before inserts.
struct BundleFile {
  std::string name;    // relative to the bundle
  std::string prefix;  // of its values in the linked graph (lalm/link.h)
  std::shared_ptr<const OnnxModel> model;
  InsertHost host;

  static BundleFile of(std::string name, std::string prefix, std::shared_ptr<const OnnxModel> model, Graph graph);
};

// encoder, token embedding, decoder.
using BundleFiles = std::vector<BundleFile>;

struct InsertedBundle {
  std::shared_ptr<const Graph> graph, text_graph;  // linked, with audio inputs and without
  Parameters parameters;                           // of the inserts, by linked name
  SiteMap sites;                                   // the bundle's own, each with its module's own value
  std::map<std::string, std::string>
      own_names;  // outputs of the linked graph, to the linked name of what the module gives
  std::map<std::string, OnnxAddition> additions;  // by file
  bool per_call = false;
};

// User errors as insert_into(), and for an insert into a file that the bundle does not have, or that has functions.
std::shared_ptr<const InsertedBundle> insert_into(const BundleFiles& files, const std::vector<StackedInsert>& inserts,
                                                  const SiteMap& sites);

// The sites of a linked graph whose files may hold inserts of an earlier export: those of the model without them, each
// with its module's own value.
SiteMap find_sites(const Graph& linked, const BundleFiles& files);

// The type of a float value of a file that is computed or an input: what its graph says, or else what it is computed
// from. kUndefined where no float is met.
DType float_type_of(const Graph& graph, const std::string& value);

}  // namespace retune
