// How specialize() works, for the files that do it: specialize.cc brings over leaves and nodes, control_flow.cc puts
// the bodies of If, Loop and Scan in the place of their nodes, batched_scan.cc those of Scan's first form, sequences.cc
// resolves lists of values,
// late_control_flow.cc makes graphs of their own of those
// that must wait for run time. Others include specialize.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "graph/infer.h"
#include "graph/specialize.h"

namespace retune {

// Where Scan cuts an input or stacks an output.
struct ScanAxis {
  std::int64_t axis = 0;
  bool reversed = false;
};

// A Loop or Scan node: what goes into its body and what comes out. Values are the result's.
struct Repetition {
  Node node{};  // with the result's inputs
  std::shared_ptr<const Graph> body{};
  // A Loop, whose body reads the trip's number and a condition, and gives the next condition first.
  bool counted = false;
  ValueId trips = kNoValue, condition = kNoValue;  // of a Loop, where it has them
  std::vector<ValueId> states{};                   // before the first trip
  std::vector<ValueId> scanned{};                  // what a Scan cuts into slices
  std::vector<ValueId> captures{};                 // in the order of body->captured
  std::vector<ScanAxis> cuts{}, stacks{};          // of scanned values, of scan outputs
  std::vector<ValueId> parameters{};               // the body's inputs that are not captured
  std::string why_late{};                          // why it is not unrolled, if it is not
  std::vector<bool> needed{};                      // the body's nodes that some wanted output needs
  bool wants(std::size_t output) const { return output < node.outputs.size() && node.outputs[output] != kNoValue; }
  std::vector<ValueId> roots() const;  // the body's outputs that are needed
  std::size_t scan_count() const { return body->outputs.size() - states.size() - (counted ? 1 : 0); }
};

// Splits the inputs of a Loop or Scan into those of its own and what its body captures; user error where they do not
// fit the body.
Repetition read_repetition(const Node& node);

// The number that a node is steered by; a user error that calls it `what` if the tensor holds none or several.
std::int64_t single_integer(const Tensor& tensor, const Node& node, const char* what);

class Specializer {
 public:
  Specializer(const std::map<std::string, InputSpec>& inputs, ThreadPool& pool)
      : inputs_(inputs), pool_(pool), budget_(own_budget_) {}
  explicit Specializer(Specializer* outer);  // for a body that becomes a graph of its own
  Specializer(const Specializer&) = delete;

  Graph run(const Graph& source, const std::vector<std::string>& outputs);

 private:
  using Ids = std::vector<ValueId>;  // for each value of a source graph the result's value, kNoValue until it is known

  // Unrolling must end, whatever a file says.
  struct Budget {
    std::int64_t unrolled = 0;  // nodes that unrolled bodies gave
    std::int64_t visited = 0;   // nodes of bodies that were looked at, also those that folded or were taken back
    std::int64_t folded = 0;    // elements of constants that bodies folded to
  };

  // Where an unrolling began, for taking it back.
  struct Mark {
    std::size_t values, nodes;
    std::int64_t unrolled;
  };

  // What a value is computed from.
  struct Origins {
    std::set<std::string> inputs{};
    std::string parameter{};  // one of them, if there is any
    bool floats = false;      // whether one of the inputs is a float
    bool carried = false;     // whether something of it changes from trip to trip
    bool pinnable() const { return !inputs.empty() && parameter.empty() && !carried; }
    // Pinning the inputs makes the value known. Floats are not pinned for this: they vary from request to request, and
    // gradients are asked for them.
    bool steerable() const { return pinnable() && !floats; }
  };

  // What pinning can do for a value, by what it is computed from; the last of them decides.
  enum class Reach : std::uint8_t {
    kConstants,  // nothing is left to be pinned
    kInputs,     // Origins::steerable
    kBeyond,     // floats, parameters, what changes from trip to trip
  };

  // The values that one trip through a body gave.
  struct Trip {
    ValueId condition = kNoValue;
    std::vector<ValueId> states, scans;  // an unwanted scan output is kNoValue
  };

  // specialize.cc
  static std::vector<bool> needed_nodes(const Graph& source, const std::vector<ValueId>& roots);
  void append(const Graph& source, const std::vector<bool>& needed, Ids& ids);
  ValueId leaf_or(const Graph& source, Ids& ids, ValueId id);
  ValueId bring_parameter(const Value& value);
  ValueId bring_input(const Value& value);
  std::string unused_name(const std::string& name) const;
  void append_node(const Graph& source, const Node& node, const Node& mapped, Ids& ids);
  void append_composite(const Graph& source, const Node& node, const Node& mapped, const Op& op, Ids& ids);
  // Adds a node with the result's inputs, or the constants that it folds to. An output that is kNoValue has no reader.
  std::vector<ValueId> place(const Node& mapped, const std::vector<std::string>& names);
  std::optional<std::vector<Tensor>> fold(const Node& mapped, const Op& op,
                                          const std::vector<InferContext::Result>& results);
  Origins origins_of(ValueId id) const;
  Reach reach_of(ValueId id);
  Reach reach_of_leaf(ValueId id);
  [[noreturn]] static void ask_for(const std::set<std::string>& inputs);  // to be pinned
  std::vector<std::string> inputs_behind(ValueId id, const Node& node) const;

  // control_flow.cc
  bool append_control(const Graph& source, const Node& node, const Node& mapped, Ids& ids);
  void append_if(const Graph& source, const Node& node, const Node& mapped, Ids& ids);
  void append_repetition(const Graph& source, const Node& node, const Node& mapped, Ids& ids);
  void append_body(const Graph& source, const Node& node, const Graph& body, Ids& inner, Ids& ids);
  void publish(const Graph& source, const Node& node, const std::vector<ValueId>& made, std::size_t first, Ids& ids);
  void enter(const std::string& name);
  std::optional<Tensor> steering(ValueId id);
  void require_truth(const Node& node, ValueId condition) const;
  Mark begin_unrolling();
  void take_back(const Mark& mark);
  bool within_budget() const;
  std::optional<std::string> unroll(const Repetition& loop, std::vector<ValueId>& outputs);
  Trip append_trip(const Repetition& loop, std::int64_t number, const std::vector<ValueId>& states,
                   const std::vector<ValueId>& slices);
  std::vector<ValueId> split_along(const Node& origin, ValueId whole, std::int64_t axis);
  ValueId stack_along(const Node& origin, std::vector<ValueId> values, std::int64_t axis);
  std::vector<ValueId> slices_of(const Repetition& loop, std::size_t index);
  ValueId stack(const Repetition& loop, std::size_t scan, std::vector<ValueId> values);
  std::vector<ValueId> empty_scans(const Repetition& loop);
  ValueId reshaped(const Node& origin, ValueId value, const Shape& shape);

  // sequences.cc: lists of values, which ids below kNoValue name
  struct List {
    std::vector<ValueId> elements;
    bool optional = false;  // one element or none
  };
  static bool is_list(ValueId id);
  ValueId add_list(std::vector<ValueId> elements, bool optional);
  const List& list(const Node& node, std::size_t input) const;
  static void require_tensors(const Node& node);
  bool append_list(const Graph& source, const Node& node, const Node& mapped, Ids& ids);
  std::vector<ValueId> list_results(const Node& node);
  std::int64_t list_position(const Node& node, std::size_t input, std::int64_t count, std::int64_t fallback);
  ValueId split_to_list(const Node& node);
  ValueId join_list(const Node& node);
  std::vector<ValueId> map_list(const Node& node);

  // batched_scan.cc
  void append_batched_scan(const Graph& source, const Node& node, const Node& mapped, Ids& ids);
  ValueId first_steps(const Node& origin, ValueId sequence, std::int64_t count);
  ValueId padded_steps(const Node& origin, ValueId sequence, std::int64_t count);

  // late_control_flow.cc
  ValueId capture(ValueId outer);
  ValueId carry(const TypeShape& type);
  Graph body_apart(const Node& node, const Graph& body, Ids& inner, std::span<const ValueId> captures,
                   const std::vector<ValueId>& roots);
  void append_late_if(const Graph& source, const Node& node, const Node& mapped, Ids& ids);
  void require_same_types(const Node& node, const Graph& one, const Graph& other) const;
  void append_late_loop(const Graph& source, const Node& node, const Repetition& loop, Ids& ids);
  Graph late_body(const Repetition& loop, Specializer& inside);
  std::int64_t exact_trips(const Repetition& loop, const Value& again) const;
  void ask_for_trips(const Repetition& loop) const;
  ValueId laid_along(const Repetition& loop, std::size_t scan, ValueId stacked);

  const std::map<std::string, InputSpec>& inputs_;
  ThreadPool& pool_;
  Graph result_;
  const Graph* root_ = nullptr;          // the graph that was given
  Specializer* outer_ = nullptr;         // of a body that becomes a graph of its own
  std::map<ValueId, ValueId> captured_;  // the outer one's values: what they are here
  std::vector<ValueId> captures_;        // those of them that are inputs here
  std::vector<List> lists_;
  std::vector<Reach> reach_;  // of the result's first values: each is looked at once, however many nodes ask
  int depth_ = 0;             // of bodies within bodies
  int unrolling_ = 0;         // how many of them are being unrolled
  std::size_t first_unrolled_ = 0;
  Budget own_budget_;
  Budget& budget_;  // the outermost one's
};

}  // namespace retune
