#include "adapters/model_view.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "tensor/error.h"
#include "weights/external_data.h"

namespace retune {

namespace {

// Parameters of the graph and of the subgraphs in its nodes' attributes.
void collect_origins(const Graph& graph, std::map<std::string, ParameterOrigin>& origins) {
  for (const Value& value : graph.values())
    if (value.kind == ValueKind::kParameter)
      origins.emplace(value.name, ParameterOrigin{value.file, value.initializer});
  for (const Node& node : graph.nodes())
    for (const auto& [name, attribute] : node.attributes.items())
      if (const auto* subgraph = std::get_if<std::shared_ptr<const Graph>>(&attribute))
        if (*subgraph) collect_origins(**subgraph, origins);
}

// The master in the stored type. Where the master has the base's value the stored bits are taken over: NaN payloads
// survive.
Tensor rounded(const Tensor& master, const Tensor& base) {
  if (base.dtype() == DType::kF32) return master;
  const Tensor nearest = master.cast(base.dtype());
  const Tensor before = base.cast(DType::kF32);
  Tensor result = Tensor::empty(base.dtype(), base.shape());
  const auto element = static_cast<std::size_t>(dtype_size(base.dtype()));
  const float* now = master.data<float>();
  const float* then = before.data<float>();
  std::byte* out = result.mutable_raw();
  for (std::size_t i = 0; i < static_cast<std::size_t>(master.numel()); ++i) {
    const bool untouched = std::memcmp(now + i, then + i, sizeof(float)) == 0;
    std::memcpy(out + i * element, (untouched ? base : nearest).raw() + i * element, element);
  }
  return result;
}

}  // namespace

struct ModelView::Base {
  ContentHash graph_hash;
  std::map<std::string, ContentHash> files;
  Parameters parameters;
  std::map<std::string, ParameterOrigin> origins;
  std::map<ParameterOrigin, std::vector<std::string>> values;  // the other way round
  PayloadHashes hashes;                                        // may be empty

  mutable std::mutex mutex;  // guards what is computed when first asked
  mutable std::map<std::string, ContentHash, std::less<>> payloads;
  mutable std::optional<ContentHash> content;

  const Feed& feed(std::string_view value) const {
    const auto it = parameters.find(value);
    if (it == parameters.end()) throw user_error("the model has no parameter '{}'; see retune inspect", value);
    return it->second;
  }

  ContentHash payload(std::string_view value) const {
    const Tensor& tensor = feed(value).tensor;
    {
      const std::lock_guard lock(mutex);
      if (const auto it = payloads.find(value); it != payloads.end()) return it->second;
    }
    const auto origin = origins.find(std::string(value));
    const ContentHash hash = hashes && origin != origins.end()
                                 ? hashes(origin->second)
                                 : ContentHash::of(std::span(tensor.raw(), tensor.bytes()));
    const std::lock_guard lock(mutex);
    return payloads.emplace(value, hash).first->second;
  }

  // Of graph and parameters.
  ContentHash whole() const {
    {
      const std::lock_guard lock(mutex);
      if (content) return *content;
    }
    Hasher hasher;
    hasher.add("retune model").add(graph_hash);
    for (const auto& [value, leaf] : parameters) hasher.add(value).add(leaf.tensor.text()).add(payload(value));
    const ContentHash hash = hasher.finish();
    const std::lock_guard lock(mutex);
    return content.emplace(hash);
  }

  Version version(std::string_view value) const {
    const Feed& leaf = feed(value);
    return leaf.version.known() ? leaf.version : version_of(leaf.tensor);
  }

  // Value names of the parameters that the target means, checked to be what the patch was made for.
  const std::vector<std::string>& targets(const TensorDelta& delta, const DeltaTarget& target) const {
    const auto it = values.find({target.file, target.initializer});
    if (it == values.end())
      throw user_error(
          "this patch was made for another model: it changes the float tensor '{}' in {}, which is not there",
          printable(target.initializer), printable(target.file));
    for (const std::string& value : it->second) {
      const Tensor& tensor = feed(value).tensor;
      if (tensor.dtype() != target.stored || !fits(delta, target, tensor.shape()))
        throw user_error("this patch was made for another model: tensor '{}' in {} is {}, expected {} to hold {}{}",
                         printable(target.initializer), printable(target.file), tensor.text(),
                         dtype_name(target.stored), delta.shape.text(), target.transposed ? " transposed" : "");
      if (payload(value) != target.sha256)
        throw user_error(
            "this patch was made for another model: tensor '{}' in {} has other weights (SHA-256 {}, expected {})",
            printable(target.initializer), printable(target.file), payload(value).hex().substr(0, 12),
            target.sha256.hex().substr(0, 12));
    }
    return it->second;
  }
};

struct ModelView::State {
  std::shared_ptr<const Base> base;
  std::vector<std::shared_ptr<const Patch>> patches;
  std::vector<ContentHash> ids;
  Parameters parameters;
  // Of the parameters that a patch touches.
  std::map<std::string, Tensor, std::less<>> masters;

  void check_fits(const Patch& patch) const {
    for (const auto& [file, hash] : patch.files) {
      const auto it = base->files.find(file);
      if (it != base->files.end() && it->second != hash)
        throw user_error("this patch was made for another model: the graph in {} has hash {}, expected {}",
                         printable(file), it->second.hex().substr(0, 12), hash.hex().substr(0, 12));
    }
    if (patch.graph_hash != base->graph_hash)
      throw user_error("this patch was made for another model: its graph has hash {}, this one {}",
                       patch.graph_hash.hex().substr(0, 12), base->graph_hash.hex().substr(0, 12));
    if (patch.beneath == ids) return;
    std::size_t same = 0;
    while (same < ids.size() && same < patch.beneath.size() && ids[same] == patch.beneath[same]) ++same;
    const std::string wanted =
        same < patch.beneath.size() ? "patch " + patch.beneath[same].hex().substr(0, 12) : "itself";
    throw user_error(
        "this patch does not go on this stack: it was made on {} patches, here lie {}; above the first {} it expects "
        "{}",
        patch.beneath.size(), ids.size(), same, wanted);
  }

  // Adds one patch's deltas, already checked, to the masters of `only` (all if null), and says which parameters it
  // changed.
  std::set<std::string> add(const Patch& patch, const std::set<std::string>* only) {
    std::set<std::string> changed;
    for (const TensorDelta& delta : patch.deltas) {
      if (is_zero(delta)) continue;
      for (const DeltaTarget& target : delta.targets) {
        for (const std::string& value : base->values.at({target.file, target.initializer})) {
          if (only != nullptr && only->count(value) == 0) continue;
          Tensor& master = masters[value];
          // The first touch makes a copy; until the patch is done nobody else holds it.
          if (changed.insert(value).second) {
            const Tensor& before = master.defined() ? master : base->feed(value).tensor;
            master = before.dtype() == DType::kF32 ? before.copy() : before.cast(DType::kF32);
          }
          add_to(master, delta, target);
        }
      }
    }
    return changed;
  }

  // Puts the rounded master in its place.
  void publish(const std::string& value, const Version& version) {
    parameters[value] = {rounded(masters.at(value), base->feed(value).tensor), version};
  }

  Version current_version(const std::string& value) const {
    const Version& known = parameters.find(value)->second.version;
    return known.known() ? known : base->version(value);
  }
};

ModelView ModelView::of(const ContentHash& graph_hash, Parameters parameters,
                        std::map<std::string, ParameterOrigin> origins, std::map<std::string, ContentHash> files,
                        PayloadHashes hashes) {
  auto base = std::make_shared<Base>();
  base->graph_hash = graph_hash;
  base->files = std::move(files);
  base->parameters = std::move(parameters);
  base->origins = std::move(origins);
  base->hashes = std::move(hashes);
  for (const auto& [value, origin] : base->origins)
    if (base->parameters.count(value) != 0) base->values[origin].push_back(value);
  auto state = std::make_shared<State>();
  state->parameters = base->parameters;
  state->base = std::move(base);
  return ModelView(std::move(state));
}

ModelView ModelView::of(const Graph& graph, Parameters parameters, std::map<std::string, ContentHash> files,
                        PayloadHashes hashes) {
  std::map<std::string, ParameterOrigin> origins;
  collect_origins(graph, origins);
  return of(graph.structure_hash(), std::move(parameters), std::move(origins), std::move(files), std::move(hashes));
}

ModelView ModelView::with(std::shared_ptr<const Patch> patch) const {
  check(*patch);
  state_->check_fits(*patch);
  for (const TensorDelta& delta : patch->deltas)
    for (const DeltaTarget& target : delta.targets) state_->base->targets(delta, target);

  auto next = std::make_shared<State>(*state_);
  const ContentHash id = patch->id();
  for (const std::string& value : next->add(*patch, nullptr))
    next->publish(value, combine(state_->current_version(value), version_of(id)));
  next->patches.push_back(std::move(patch));
  next->ids.push_back(id);
  return ModelView(std::move(next));
}

ModelView ModelView::without_top() const {
  if (state_->patches.empty()) throw user_error("there is no patch to take off: this is the unedited model");
  auto next = std::make_shared<State>(*state_);
  next->patches.pop_back();
  next->ids.pop_back();

  // Never by subtraction: what the top patch touched is made again from the base.
  std::set<std::string> touched;
  for (const TensorDelta& delta : state_->patches.back()->deltas)
    for (const DeltaTarget& target : delta.targets)
      for (const std::string& value : state_->base->values.at({target.file, target.initializer})) touched.insert(value);
  std::map<std::string, Version> versions;
  for (const std::string& value : touched) {
    next->masters.erase(value);
    next->parameters[value] = state_->base->feed(value);
    versions[value] = state_->base->version(value);
  }
  for (std::size_t i = 0; i < next->patches.size(); ++i)
    for (const std::string& value : next->add(*next->patches[i], &touched))
      versions[value] = combine(versions[value], version_of(next->ids[i]));
  for (const std::string& value : touched)
    if (next->masters.count(value) != 0) next->publish(value, versions[value]);
  return ModelView(std::move(next));
}

const Parameters& ModelView::parameters() const { return state_->parameters; }

Tensor ModelView::master(std::string_view value) const {
  const auto it = state_->masters.find(value);
  if (it != state_->masters.end()) return it->second;
  const Tensor& base = state_->base->feed(value).tensor;
  if (!is_float(base.dtype()))
    throw user_error("parameter '{}' is {}; only tensors of f32, f16 and bf16 are edited", value, base.text());
  return base.cast(DType::kF32);
}

double ModelView::rounding_share(std::string_view value) const {
  const Tensor& base = state_->base->feed(value).tensor;
  if (state_->masters.find(value) == state_->masters.end()) return 0.0;
  std::vector<double> change(static_cast<std::size_t>(base.numel()), 0.0);
  const ParameterOrigin& origin = state_->base->origins.at(std::string(value));
  for (const auto& patch : state_->patches)
    for (const TensorDelta& delta : patch->deltas)
      for (const DeltaTarget& target : delta.targets)
        if (target.file == origin.file && target.initializer == origin.initializer)
          add_to(change, base.shape(), delta, target);
  const Tensor before = base.cast(DType::kF32);
  const Tensor after = state_->parameters.find(value)->second.tensor.cast(DType::kF32);
  const float* was = before.data<float>();
  const float* is = after.data<float>();
  double lost = 0, whole = 0;
  for (std::size_t i = 0; i < change.size(); ++i) {
    const double error = static_cast<double>(is[i]) - was[i] - change[i];
    lost += error * error;
    whole += change[i] * change[i];
  }
  return whole > 0 ? std::sqrt(lost / whole) : 0.0;
}

const std::vector<std::shared_ptr<const Patch>>& ModelView::patches() const { return state_->patches; }
const std::vector<ContentHash>& ModelView::patch_ids() const { return state_->ids; }
const ContentHash& ModelView::graph_hash() const { return state_->base->graph_hash; }
const std::map<std::string, ContentHash>& ModelView::files() const { return state_->base->files; }
const std::map<std::string, ParameterOrigin>& ModelView::origins() const { return state_->base->origins; }

std::vector<std::string> ModelView::edited() const {
  std::vector<std::string> result;
  for (const auto& [value, master] : state_->masters) result.push_back(value);
  return result;
}

std::vector<TensorEdit> ModelView::edits() const {
  std::map<ParameterOrigin, Tensor> by_origin;
  for (const auto& [value, master] : state_->masters)
    by_origin.emplace(state_->base->origins.at(value), state_->parameters.find(value)->second.tensor);
  std::vector<TensorEdit> result;
  for (const auto& [origin, tensor] : by_origin) result.push_back({origin.file, origin.initializer, tensor});
  return result;
}

std::vector<StackedInsert> ModelView::inserts() const {
  std::vector<StackedInsert> result;
  for (std::size_t i = 0; i < state_->patches.size(); ++i)
    for (const GraphInsert& insert : state_->patches[i]->inserts) {
      StackedInsert stacked{{state_->patches[i], &insert}, state_->ids[i]};
      const auto earlier = std::find_if(result.begin(), result.end(),
                                        [&](const StackedInsert& other) { return other.insert->name == insert.name; });
      if (earlier == result.end())
        result.push_back(std::move(stacked));
      else
        *earlier = std::move(stacked);
    }
  return result;
}

ContentHash ModelView::payload_hash(std::string_view value) const { return state_->base->payload(value); }

ContentHash ModelView::hash() const {
  Hasher hasher;
  hasher.add("retune model view").add(state_->base->whole());
  for (const ContentHash& id : state_->ids) hasher.add(id);
  return hasher.finish();
}

}  // namespace retune
