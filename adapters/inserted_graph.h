// Puts inserts into the graph of one file, in memory and, as what an export adds to the file, on disk.
//
//   InsertedGraph with = insert_into({graph, 17}, inserts);
//   with.graph, with.parameters     to be linked and run
//   with.addition                   for write_edited() and prove_export()
//
// A replaced value keeps its name and its meaning, the output of the module that computes it; whoever read it now reads
// the insert's output, its stand-in. Only outputs of the graph keep their name for what the world sees, and there the
// module's own value is renamed (`own_names`). On disk that is so for every replaced value, since there nobody who
// reads it is rewritten; so that the file, opened again, can be read like the model that it was made from, its metadata
// says which value stands in for which (InsertRecord).
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>

#include "adapters/graph_insert.h"
#include "adapters/model_view.h"
#include "graph/graph.h"
#include "graph/session.h"
#include "weights/onnx_addition.h"
#include "weights/onnx_model.h"

namespace retune {

// The key of a model file's metadata under which the record stands, as JSON.
inline constexpr const char* kInsertRecordKey = "retune.inserts";

// What inserts a file holds already.
struct InsertRecord {
  std::map<std::string, std::string> stand_ins;  // a module's own value, to the value that is read instead
  bool per_call = false;

  // Of a file that holds inserts; empty for any other. Entries that its graph cannot have are left out: their number is
  // `unknown`. User error naming the file where the entry is no such JSON.
  static InsertRecord of(const OnnxModel& model, const Graph& graph);
  std::size_t unknown = 0;
  std::string text() const;
};

// A file before inserts are put into it.
struct InsertHost {
  std::shared_ptr<const Graph> graph;  // of import_onnx()
  int opset = 0;                       // of domain ""
  InsertRecord record;
};

struct InsertedGraph {
  std::shared_ptr<const Graph> graph;
  Parameters parameters;                         // of the inserts: what they bring as float tensors, by value name
  std::map<std::string, std::string> own_names;  // outputs of the graph that are replaced, to the module's own value
  OnnxAddition addition;
};

// All of `inserts`, which are for this file, in their order. The same bits as the exported file gives when it is
// opened. User errors naming insert and value: one that the graph does not compute, an operator set that is not the
// file's, a value that is read before the insert can compute its stand-in (a circle among them).
InsertedGraph insert_into(const InsertHost& host, std::span<const StackedInsert> inserts);

}  // namespace retune
