// Runs graphs, and keeps what did not change.
//
// Every value has a version: a hash of the operator and of the versions it was computed from, down to the leaves. A
// leaf's version is what it is: the content of an input, (file, tensor, patches that touch it) for a parameter, the
// content of an intervention. The Session keeps computed values by version within its memory budget, so a request
// executes only the nodes that depend on something new; values of the unedited model stay valid after an edit is taken
// off again. It is the only cache there is.
//
// What is kept is the frontier: a request names the leaves that later requests will vary (`varying`), and the values
// that the nodes depending on them read, but that do not depend on them, are kept. Outputs are kept when asked
// (`keep_outputs`).
//
//   Session session({.threads = 2});
//   Results r = session.run(graph, parameters, {.inputs = {{"x", {x}}}, .outputs = {"logits"}});
//   r["logits"].tensor
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "graph/intervention.h"
#include "tensor/thread_pool.h"

namespace retune {

// 128 bits of a content hash. All zero means "not known: hash the bytes".
struct Version {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  bool known() const { return high != 0 || low != 0; }
  friend auto operator<=>(const Version&, const Version&) = default;
};

Version version_of(const ContentHash& hash);
Version version_of(std::string_view text);
Version version_of(const Tensor& tensor);  // type, shape and bytes
Version combine(Version a, Version b);

// A tensor for a leaf, and what it is.
struct Feed {
  Tensor tensor;
  Version version{};
};

// Parameter tensors by the value name in the graph, in their stored type (f32, f16, bf16).
using Parameters = std::map<std::string, Feed, std::less<>>;

struct Request {
  std::map<std::string, Feed, std::less<>>
      inputs{};                        // by input name; inputs that the outputs do not reach may be missing
  std::vector<std::string> outputs{};  // value names; any value of the graph may be asked for
  // Of an output [.., D], only these rows of [N, D], in this order: the result is [rows, D], and no other row is
  // computed where that can be helped (row_selection.h).
  std::map<std::string, std::vector<std::int64_t>, std::less<>> rows{};
  // Gradients of the sum of `loss` (a value name; empty for none) with respect to these inputs, parameters or
  // interventions' deltas.
  std::string loss{};
  std::vector<std::string> wrt{};
  std::vector<Intervention> interventions{};
  // Inputs whose values the plan may use as constants (they steer shapes or branches).
  std::vector<std::string> pinned{};
  // Leaves (inputs, parameters, interventions by name) that the requests after this one will vary.
  std::vector<std::string> varying{};
  enum class Cache { kUse, kOff } cache = Cache::kOff;  // kOff: no hashing, nothing looked up, nothing kept
  bool keep_outputs = false;
};

// Outputs by name, and gradients by "grad:" + name of the leaf. A gradient that is zero because the loss does not
// depend on the leaf is a tensor of zeros.
class Results {
 public:
  const Feed& operator[](std::string_view name) const;  // user error if it was not asked for
  bool has(std::string_view name) const { return feeds.find(name) != feeds.end(); }
  std::map<std::string, Feed, std::less<>> feeds;
};

// How far work is: called after each of `total` parts, `done` from 1. May be empty.
using WorkObserver = std::function<void(std::int64_t done, std::int64_t total)>;

struct SessionOptions {
  int threads = 0;                                   // 0: one per processor
  std::int64_t cache_bytes = std::int64_t{1} << 30;  // for kept values
  // A gradient whose activations take more computes some of them twice, as far as that helps (rematerialize.h).
  std::int64_t activation_bytes = std::numeric_limits<std::int64_t>::max();
  std::size_t max_plans = 256;
  // Plans, keeps and allocates as ever, but computes nothing: peak_bytes() is then a prediction, made in the time of
  // the planning. Results are ones. Whoever rehearses must make nothing of them.
  bool rehearse = false;
};

// What was done since the Session was made. Tests count with it; nothing is decided by it.
struct Counters {
  std::int64_t nodes_executed = 0;
  std::int64_t plans_made = 0;
  std::int64_t values_reused = 0;
  std::map<std::string, std::int64_t> executions_by_value;  // first output's name -> times; only while `trace` is on
  std::map<std::string, double> seconds_by_op;              // only while `profile` is on
};

class Session {
 public:
  explicit Session(SessionOptions options = {});
  ~Session();
  Session(Session&&) noexcept;

  // `graph` must outlive the Session's plans for it: keep it in a shared_ptr for as long as the Session lives.
  Results run(const std::shared_ptr<const Graph>& graph, const Parameters& parameters, const Request& request);

  // A version that nothing had before, for parameters that an optimiser changes in place.
  Version fresh_version();

  ThreadPool& pool();
  const Counters& counters() const;
  void reset_counters();
  void trace(bool on);
  void profile(bool on);
  // Told after each node of a run how many of the nodes to execute are done. Replaces the one before.
  void observe(WorkObserver observer);
  // Forgets kept values and plans.
  void clear();
  std::int64_t peak_bytes() const;  // of activations and kept values, since the Session was made
  std::int64_t kept_bytes() const;  // of values kept now

  struct State;  // session.cc's own

 private:
  std::unique_ptr<State> state_;
};

}  // namespace retune
