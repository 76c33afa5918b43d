// A model as it stands: the base parameters, and the patches stacked on them. A value: with() and without_top() give
// other views and change none; views share every tensor that they have in common.
//
//   ModelView base = ModelView::of(graph, parameters, files);
//   ModelView edited = base.with(patch);                 // checked: the patch must have been made for this very model
//   session.run(graph, edited.parameters(), request);    // what no patch touches has the base's versions: nothing is
//   recomputed edited.without_top();                                // the base again, bit for bit: it was never
//   written
//
// Numbers: a touched tensor has an f32 master, f32(base) plus every delta in order of the stack; what parameters()
// gives is the master rounded once to the stored type. Elements that no delta changes keep their stored bits.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/patch.h"
#include "graph/graph.h"
#include "graph/session.h"
#include "tensor/content_hash.h"

namespace retune {

// Where a parameter lies.
struct ParameterOrigin {
  std::string file;         // relative to the bundle
  std::string initializer;  // the name in that file
  friend auto operator<=>(const ParameterOrigin&, const ParameterOrigin&) = default;
};

// A stored tensor that a view's patches touch, for export.
struct TensorEdit {
  std::string file;
  std::string initializer;
  Tensor tensor;  // all of it, in the stored type and shape
};

// SHA-256 of what an origin's file holds for it, where whoever opened the file knows a better way than reading it all.
using PayloadHashes = std::function<ContentHash(const ParameterOrigin&)>;

// A graph insert of a view's stack.
struct StackedInsert {
  std::shared_ptr<const GraphInsert> insert;
  ContentHash patch;  // the id of the patch that brings it
};

class ModelView {
 public:
  // `origins`: by the parameters' value names; parameters without one cannot be edited. Two value names may have one
  // origin. `files`: OnnxModel::graph_hash() by file, so that a refused patch can name the file that differs; may be
  // empty.
  static ModelView of(const ContentHash& graph_hash, Parameters parameters,
                      std::map<std::string, ParameterOrigin> origins, std::map<std::string, ContentHash> files = {},
                      PayloadHashes hashes = {});
  // Graph hash and origins (of subgraphs too) as `graph` has them.
  static ModelView of(const Graph& graph, Parameters parameters, std::map<std::string, ContentHash> files = {},
                      PayloadHashes hashes = {});

  // With one more patch on top. User errors, one line: made for another graph, on another stack, for a tensor that is
  // not there or is of another type, shape or content.
  ModelView with(std::shared_ptr<const Patch> patch) const;
  // Without the topmost patch. User error if there is none.
  ModelView without_top() const;

  const Parameters& parameters() const;
  // The f32 copy that the next edit starts from, in stored orientation. User error if there is no such float parameter.
  Tensor master(std::string_view value) const;

  // ||round(W + D) - W - D|| / ||D|| in the Frobenius norm, with D the sum of all deltas on the parameter in f64: the
  // share of the edit that the stored type loses. 0 if D is zero or nothing touches the parameter.
  double rounding_share(std::string_view value) const;

  const std::vector<std::shared_ptr<const Patch>>& patches() const;  // bottom first
  const std::vector<ContentHash>& patch_ids() const;  // of patches(); what a new patch's `beneath` must be
  const ContentHash& graph_hash() const;
  const std::map<std::string, ContentHash>& files() const;
  const std::map<std::string, ParameterOrigin>& origins() const;
  // Parameters that a patch of the stack touches, in order of their names.
  std::vector<std::string> edited() const;
  // The same for export, an entry an origin, in order of file and initializer. Bytes may equal the base's: the delta
  // rounded away.
  std::vector<TensorEdit> edits() const;

  // Nodes that the stack adds, in their order; one that replaces an earlier of its name stands in that one's place. A
  // view has no graph to put them into: Bundle does.
  std::vector<StackedInsert> inserts() const;

  // Of the base tensor's bytes: what DeltaTarget::sha256 must be. Computed once. Thread-safe. User error if there is no
  // such parameter.
  ContentHash payload_hash(std::string_view value) const;
  // Identifies the view wherever its files lie: the graph, the base parameters' bytes, the ids of the stack. The base
  // is read once.
  ContentHash hash() const;

 private:
  struct Base;
  struct State;
  explicit ModelView(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

}  // namespace retune
