#include "graph/session.h"

#include <algorithm>
#include <chrono>
#include <list>
#include <set>

#include "graph/buffer_pool.h"
#include "graph/evaluate.h"
#include "graph/plan.h"
#include "graph/rehearsal.h"
#include "graph/specialize.h"

namespace retune {

namespace {

// Kept values by version, the least recently used first to go.
class ValueCache {
 public:
  explicit ValueCache(std::int64_t limit) : limit_(limit) {}

  const Tensor* find(const Version& version) {
    const auto it = entries_.find(version);
    if (it == entries_.end()) return nullptr;
    recency_.splice(recency_.end(), recency_, it->second.position);
    return &it->second.tensor;
  }

  void keep(const Version& version, const Tensor& tensor) {
    if (entries_.contains(version) || static_cast<std::int64_t>(tensor.bytes()) > limit_) return;
    recency_.push_back(version);
    entries_[version] = {tensor, std::prev(recency_.end())};
    bytes_ += static_cast<std::int64_t>(tensor.bytes());
    while (bytes_ > limit_) {
      const auto oldest = entries_.find(recency_.front());
      bytes_ -= static_cast<std::int64_t>(oldest->second.tensor.bytes());
      entries_.erase(oldest);
      recency_.pop_front();
    }
  }

  void clear() {
    entries_.clear();
    recency_.clear();
    bytes_ = 0;
  }

  std::int64_t bytes() const { return bytes_; }

 private:
  struct Entry {
    Tensor tensor;
    std::list<Version>::iterator position;
  };
  std::int64_t limit_;
  std::int64_t bytes_ = 0;
  std::map<Version, Entry> entries_;
  std::list<Version> recency_;
};

}  // namespace

const Feed& Results::operator[](std::string_view name) const {
  const auto it = feeds.find(name);
  if (it == feeds.end()) throw user_error("'{}' was not asked for in this request", name);
  return it->second;
}

struct Session::State {
  // A rehearsal touches none of its memory, so it may count more than there is.
  explicit State(const SessionOptions& given)
      : options(given),
        pool(given.threads),
        buffers(given.rehearse ? std::optional<std::size_t>(SIZE_MAX) : std::nullopt),
        cache(given.cache_bytes) {}

  struct PlanEntry {
    std::shared_ptr<const Graph> graph;  // keeps the key's address from being reused
    std::unique_ptr<Plan> plan;
    std::int64_t last_used = 0;
  };

  SessionOptions options;
  ThreadPool pool;
  BufferPool buffers;
  ValueCache cache;
  std::map<std::string, PlanEntry> plans;
  std::map<std::string, std::vector<std::string>>
      extra_pins;  // by plan key without pins: what planning found it must know
  std::int64_t clock = 0;
  std::uint64_t fresh = 0;
  bool tracing = false;
  bool profiling = false;
  WorkObserver observer;
  Counters counters;
};

namespace {

// One run of one plan.
class Execution {
 public:
  Execution(Session::State& state, const Plan& plan, const Parameters& parameters, const Request& request)
      : state_(state),
        plan_(plan),
        parameters_(parameters),
        request_(request),
        caching_(request.cache == Request::Cache::kUse) {}

  Results run() {
    const std::size_t count = plan_.graph.values().size();
    tensors_.resize(count);
    if (caching_) compute_versions();
    find_needed();
    if (state_.options.rehearse) {
      is_result_.assign(count, false);
      for (const ValueId id : plan_.graph.outputs) is_result_[static_cast<std::size_t>(id)] = true;
    }
    execute();
    return collect();
  }

 private:
  const Feed& leaf(const Value& value) const {
    if (value.kind == ValueKind::kParameter) {
      const auto it = parameters_.find(value.name);
      if (it == parameters_.end()) throw user_error("parameter '{}' of {} has no tensor", value.name, value.file);
      return it->second;
    }
    const auto it = request_.inputs.find(value.name);
    if (it == request_.inputs.end()) throw user_error("input '{}' was not given", value.name);
    return it->second;
  }

  const Intervention* intervention(const Value& value) const {
    for (const Intervention& change : request_.interventions)
      if (change.name == value.name) return &change;
    return nullptr;
  }

  Tensor leaf_tensor(const Value& value) const {
    if (value.kind == ValueKind::kConstant) return value.constant;
    if (const Intervention* change = intervention(value)) return change->delta;
    const Tensor& tensor = leaf(value).tensor;
    if (tensor.dtype() != value.dtype || (value.shape && !(tensor.shape() == *value.shape)))
      throw user_error("'{}': expected {} {}, got {}", value.name, dtype_name(value.dtype), value.shape->text(),
                       tensor.text());
    return tensor;
  }

  void compute_versions() {
    const Graph& graph = plan_.graph;
    versions_.resize(graph.values().size());
    for (std::size_t i = 0; i < graph.values().size(); ++i) {
      const Value& value = graph.values()[i];
      if (value.kind == ValueKind::kComputed) continue;
      if (value.kind == ValueKind::kConstant)
        versions_[i] = plan_.constants[i];
      else if (const Intervention* change = intervention(value))
        versions_[i] = version_of(change->delta);
      else
        versions_[i] = leaf(value).version.known() ? leaf(value).version : version_of(leaf(value).tensor);
    }
    for (std::size_t index = 0; index < graph.nodes().size(); ++index) {
      const Node& node = graph.nodes()[index];
      Version version = plan_.signatures[index];
      for (const ValueId id : node.inputs)
        version = combine(version, id == kNoValue ? Version{} : versions_[static_cast<std::size_t>(id)]);
      for (std::size_t i = 0; i < node.outputs.size(); ++i)
        if (node.outputs[i] != kNoValue)
          versions_[static_cast<std::size_t>(node.outputs[i])] = combine(version, {0, i + 1});
    }
  }

  void find_needed() {
    const Graph& graph = plan_.graph;
    needed_.assign(graph.nodes().size(), false);
    uses_.assign(graph.values().size(), 0);
    std::vector<bool> seen(graph.values().size(), false);
    std::vector<ValueId> pending = graph.outputs;
    for (const ValueId id : graph.outputs) ++uses_[static_cast<std::size_t>(id)];  // results are never freed
    while (!pending.empty()) {
      const ValueId id = pending.back();
      pending.pop_back();
      if (seen[static_cast<std::size_t>(id)]) continue;
      seen[static_cast<std::size_t>(id)] = true;
      const Value& value = graph.value(id);
      if (value.kind != ValueKind::kComputed) {
        tensors_[static_cast<std::size_t>(id)] = leaf_tensor(value);
        continue;
      }
      if (caching_) {
        if (const Tensor* kept = state_.cache.find(versions_[static_cast<std::size_t>(id)])) {
          tensors_[static_cast<std::size_t>(id)] = *kept;
          ++state_.counters.values_reused;
          continue;
        }
      }
      const auto producer = static_cast<std::size_t>(value.producer);
      if (needed_[producer]) continue;
      needed_[producer] = true;
      for (const ValueId input : graph.nodes()[producer].inputs) {
        if (input == kNoValue) continue;
        ++uses_[static_cast<std::size_t>(input)];
        pending.push_back(input);
      }
    }
  }

  void execute() {
    const ForwardContext::Allocate allocate = [this](DType dtype, const Shape& shape) {
      return state_.buffers.allocate(dtype, shape);
    };
    std::vector<Tensor> inputs;
    const std::int64_t total = std::count(needed_.begin(), needed_.end(), true);
    std::int64_t done = 0;
    for (std::size_t index = 0; index < needed_.size(); ++index) {
      if (!needed_[index]) continue;
      const Node& node = plan_.graph.nodes()[index];
      inputs.clear();
      for (const ValueId id : node.inputs)
        inputs.push_back(id == kNoValue ? Tensor() : tensors_[static_cast<std::size_t>(id)]);
      const auto start = state_.profiling ? std::chrono::steady_clock::now() : std::chrono::steady_clock::time_point();
      std::vector<Tensor> outputs =
          state_.options.rehearse
              ? rehearse(node, inputs, plan_.output_types[index], role_of(node), allocate)
              : evaluate(node, *plan_.ops[index], inputs, plan_.output_types[index], state_.pool, allocate);
      if (state_.profiling)
        state_.counters.seconds_by_op[node.op] +=
            std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      ++state_.counters.nodes_executed;
      if (state_.observer) state_.observer(++done, total);
      if (state_.tracing) ++state_.counters.executions_by_value[plan_.graph.value(node.outputs[0]).name];
      for (std::size_t i = 0; i < node.outputs.size(); ++i) {
        if (node.outputs[i] == kNoValue) continue;
        const auto id = static_cast<std::size_t>(node.outputs[i]);
        if (caching_ && plan_.kept[id]) state_.cache.keep(versions_[id], outputs[i]);
        if (uses_[id] > 0) tensors_[id] = std::move(outputs[i]);
      }
      for (const ValueId id : node.inputs)
        if (id != kNoValue && --uses_[static_cast<std::size_t>(id)] == 0)
          tensors_[static_cast<std::size_t>(id)] = Tensor();
    }
  }

  Role role_of(const Node& node) const {
    const bool result = std::any_of(node.outputs.begin(), node.outputs.end(), [this](ValueId id) {
      return id != kNoValue && is_result_[static_cast<std::size_t>(id)];
    });
    return result ? Role::kResult : Role::kPassing;
  }

  Results collect() {
    Results results;
    for (std::size_t i = 0; i < request_.outputs.size(); ++i)
      results.feeds[request_.outputs[i]] = result(plan_.outputs[i]);
    for (std::size_t i = 0; i < request_.wrt.size(); ++i) {
      Feed feed;
      if (plan_.gradients[i] != kNoValue)
        feed = result(plan_.gradients[i]);
      else
        feed.tensor = zero_gradient(request_.wrt[i]);
      results.feeds["grad:" + request_.wrt[i]] = std::move(feed);
    }
    return results;
  }

  Feed result(ValueId id) const {
    const auto index = static_cast<std::size_t>(id);
    return {tensors_[index], caching_ ? versions_[index] : Version{}};
  }

  Tensor zero_gradient(const std::string& name) const {
    for (const Intervention& change : request_.interventions)
      if (change.name == name) return Tensor::zeros(change.delta.dtype(), change.delta.shape());
    const auto parameter = parameters_.find(name);
    const auto input = request_.inputs.find(name);
    if (parameter == parameters_.end() && input == request_.inputs.end())
      throw user_error("no parameter, input or intervention is named '{}': a gradient needs a leaf", name);
    const Tensor& tensor = parameter != parameters_.end() ? parameter->second.tensor : input->second.tensor;
    return Tensor::zeros(tensor.dtype(), tensor.shape());
  }

  Session::State& state_;
  const Plan& plan_;
  const Parameters& parameters_;
  const Request& request_;
  const bool caching_;
  std::vector<Tensor> tensors_;
  std::vector<Version> versions_;
  std::vector<bool> needed_;
  std::vector<std::int32_t> uses_;
  std::vector<bool> is_result_;  // a value; only while rehearsing
};

void append_names(std::string& key, const std::vector<std::string>& names) {
  for (const std::string& name : names) key.append(name).push_back('\1');
  key.push_back('\2');
}

// All that a plan depends on but the pins.
std::string plan_key(const Graph* graph, const Request& request) {
  std::string key =
      fmt::format("{}:{}:{}:", static_cast<const void*>(graph), static_cast<int>(request.cache), request.keep_outputs);
  for (const auto& [name, feed] : request.inputs) key += name + ' ' + feed.tensor.text() + '\1';
  key.push_back('\2');
  append_names(key, request.outputs);
  for (const auto& [name, rows] : request.rows) key += fmt::format("{}\1{}\1", name, fmt::join(rows, ","));
  key += request.loss + '\2';
  append_names(key, request.wrt);
  append_names(key, request.varying);
  for (const Intervention& change : request.interventions) {
    key +=
        fmt::format("{}\1{}\1{}\1{}\1", change.name, change.value, static_cast<int>(change.kind), change.delta.text());
    for (const std::int64_t row : change.rows) key += std::to_string(row) + ',';
  }
  return key;
}

// What a plan has as a constant has no gradient; a zero would be wrong.
void refuse_gradients_of(const std::vector<std::string>& pins, const Request& request) {
  for (const std::string& name : pins)
    if (std::find(request.wrt.begin(), request.wrt.end(), name) != request.wrt.end())
      throw user_error("'{}' has no gradient here: shapes depend on its values, so it must be known while planning",
                       name);
}

}  // namespace

Session::Session(SessionOptions options) : state_(std::make_unique<State>(options)) {}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;

Results Session::run(const std::shared_ptr<const Graph>& graph, const Parameters& parameters, const Request& request) {
  const std::string base_key = plan_key(graph.get(), request);
  Request pinned = request;
  while (true) {
    for (const std::string& name : state_->extra_pins[base_key])
      if (std::find(pinned.pinned.begin(), pinned.pinned.end(), name) == pinned.pinned.end())
        pinned.pinned.push_back(name);
    std::string key = base_key;
    for (const std::string& name : pinned.pinned) {
      const auto it = pinned.inputs.find(name);
      if (it == pinned.inputs.end())
        throw user_error("input '{}' must be known to plan this request, but was not given", name);
      const Version version = version_of(it->second.tensor);
      key += fmt::format("\3{}={:x}{:x}", name, version.high, version.low);
    }
    auto entry = state_->plans.find(key);
    if (entry == state_->plans.end()) {
      try {
        auto plan = std::make_unique<Plan>(make_plan(*graph, pinned, state_->pool, state_->options.activation_bytes));
        ++state_->counters.plans_made;
        if (state_->plans.size() >= state_->options.max_plans)
          state_->plans.erase(
              std::min_element(state_->plans.begin(), state_->plans.end(),
                               [](const auto& a, const auto& b) { return a.second.last_used < b.second.last_used; }));
        entry = state_->plans.emplace(key, State::PlanEntry{graph, std::move(plan), 0}).first;
      } catch (const NeedsInput& needs) {
        refuse_gradients_of(needs.inputs, request);
        auto& pins = state_->extra_pins[base_key];
        const std::size_t before = pins.size();
        for (const std::string& name : needs.inputs)
          if (std::find(pinned.pinned.begin(), pinned.pinned.end(), name) == pinned.pinned.end()) pins.push_back(name);
        if (pins.size() == before)
          throw user_error("graph '{}': a shape depends on computed values; this is not supported", graph->name);
        continue;
      }
    }
    entry->second.last_used = ++state_->clock;
    return Execution(*state_, *entry->second.plan, parameters, pinned).run();
  }
}

Version Session::fresh_version() { return combine(version_of("fresh"), {0, ++state_->fresh}); }
ThreadPool& Session::pool() { return state_->pool; }
const Counters& Session::counters() const { return state_->counters; }
void Session::reset_counters() { state_->counters = {}; }
void Session::trace(bool on) { state_->tracing = on; }
void Session::profile(bool on) { state_->profiling = on; }
void Session::observe(WorkObserver observer) { state_->observer = std::move(observer); }
std::int64_t Session::peak_bytes() const { return state_->buffers.peak_bytes(); }
std::int64_t Session::kept_bytes() const { return state_->cache.bytes(); }

void Session::clear() {
  state_->plans.clear();
  state_->cache.clear();
  state_->buffers.trim();
}

}  // namespace retune
