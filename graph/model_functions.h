// A model's own functions (FunctionProto): every call is replaced by a copy of the function's nodes, so that what reads
// the graph knows operators only.
//
//   ModelFunctions functions(model, "decoder.onnx");
//   onnx::GraphProto plain = functions.inlined(model.graph());
//   const onnx::FunctionProto* home = functions.home(plain.node(3));     // null: a node of the graph itself
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_map>

#include "weights/onnx_proto.h"

namespace retune {

class ModelFunctions {
 public:
  // Keeps references into `model`. `label` names the file in messages. User error for two functions of one domain,
  // name and overload.
  ModelFunctions(const onnx::ModelProto& model, std::string label);

  bool empty() const { return functions_.empty(); }
  // The graph with its calls replaced, also those in subgraphs and in functions. Values inside a call are named
  // "CALL:N/name", CALL being the node's name or, without one, its first output's, N the call's number; attributes that
  // refer to the function's are filled in, from its defaults where the call does not give them. User errors: a function
  // that calls itself, by whichever way; nested deeper than 128; more than 1e6 nodes or 256 MB in all.
  onnx::GraphProto inlined(const onnx::GraphProto& graph);
  // The function that a node of what inlined() returned was copied from; its operator sets are that function's.
  const onnx::FunctionProto* home(const onnx::NodeProto& node) const;

 private:
  using Key = std::tuple<std::string, std::string, std::string>;  // domain, name, overload
  using Nodes = google::protobuf::RepeatedPtrField<onnx::NodeProto>;
  struct Call;

  void expand(const onnx::GraphProto& graph, const Call& call, onnx::GraphProto& result);
  void add(const onnx::NodeProto& node, const Call& call, onnx::GraphProto& result);
  void enter(const onnx::FunctionProto& function, const onnx::NodeProto& node, onnx::GraphProto& result);

  const onnx::FunctionProto* called_by(const onnx::NodeProto& node) const;  // null for an operator
  // What calls become. User errors for what is too many, too deep or endless, before anything is copied.
  struct Extent {
    std::int64_t nodes = 0;
    int depth = 0;  // of calls within calls
  };
  Extent measure(const Nodes& nodes);
  Extent measure(const onnx::FunctionProto& function);

  std::string label_;
  std::map<Key, const onnx::FunctionProto*> functions_;
  std::unordered_map<const onnx::NodeProto*, const onnx::FunctionProto*> homes_;
  std::unordered_map<const onnx::FunctionProto*, std::optional<Extent>> extents_;  // nothing: being measured
  int measuring_ = 0;
  int calls_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace retune
