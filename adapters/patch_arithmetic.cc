#include "adapters/patch_arithmetic.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <vector>

#include "tensor/error.h"

namespace retune {

namespace {

// Deltas that go to the same places and can be added as they are.
struct Group {
  std::vector<const TensorDelta*> deltas;
  std::vector<double> factors;
};

bool same_place(const TensorDelta& a, const TensorDelta& b) { return a.shape == b.shape && a.targets == b.targets; }

std::int64_t rank_of(const TensorDelta& delta) { return std::get<LowRankDelta>(delta.values).u.shape()[1]; }

// [a | b | ...] along the second axis, each times its factor.
Tensor joined_columns(const std::vector<Tensor>& parts, const std::vector<double>& factors) {
  std::int64_t columns = 0;
  for (const Tensor& part : parts) columns += part.shape()[1];
  const std::int64_t rows = parts.front().shape()[0];
  Tensor result = Tensor::empty(DType::kF32, {rows, columns});
  float* out = result.mutable_data<float>();
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::size_t p = 0; p < parts.size(); ++p) {
      const std::int64_t width = parts[p].shape()[1];
      const float* from = parts[p].data<float>() + row * width;
      for (std::int64_t k = 0; k < width; ++k) *out++ = static_cast<float>(factors[p] * from[k]);
    }
  }
  return result;
}

TensorDelta sum_of(const Group& group) {
  TensorDelta result = *group.deltas.front();
  if (group.deltas.size() == 1) return scaled(result, group.factors.front());
  const auto low_rank = [](const TensorDelta* delta) { return std::holds_alternative<LowRankDelta>(delta->values); };
  if (std::all_of(group.deltas.begin(), group.deltas.end(), low_rank)) {
    std::int64_t rank = 0;
    for (const TensorDelta* delta : group.deltas) rank += rank_of(*delta);
    if (rank * (result.shape[0] + result.shape[1]) < result.shape.numel()) {
      std::vector<Tensor> us, vs;
      for (const TensorDelta* delta : group.deltas) {
        us.push_back(std::get<LowRankDelta>(delta->values).u);
        vs.push_back(std::get<LowRankDelta>(delta->values).v);
      }
      result.values =
          LowRankDelta{joined_columns(us, group.factors), joined_columns(vs, std::vector<double>(vs.size(), 1.0))};
      return result;
    }
  }
  std::vector<double> sums(static_cast<std::size_t>(result.shape.numel()), 0.0);
  for (std::size_t d = 0; d < group.deltas.size(); ++d) {
    const Tensor values = materialise(*group.deltas[d]);
    const float* value = values.data<float>();
    for (double& sum : sums) sum += group.factors[d] * *value++;
  }
  Tensor total = Tensor::empty(DType::kF32, result.shape);
  std::transform(sums.begin(), sums.end(), total.mutable_data<float>(),
                 [](double sum) { return static_cast<float>(sum); });
  result.values = DenseDelta{total};
  return compressed(std::move(result));
}

// What `to` adds to the graph and `from` does not, in order.
std::vector<GraphInsert> added_inserts(const ModelView& from, const ModelView& to) {
  std::map<std::string, ContentHash> before;
  for (const StackedInsert& stacked : from.inserts()) before[stacked.insert->name] = hash_of(*stacked.insert);
  std::vector<GraphInsert> added;
  for (const StackedInsert& stacked : to.inserts()) {
    const auto same = before.find(stacked.insert->name);
    if (same == before.end() || same->second != hash_of(*stacked.insert)) added.push_back(*stacked.insert);
    if (same != before.end()) before.erase(same);
  }
  if (!before.empty())
    throw user_error("no patch takes nodes away, and only one of the models has the insert '{}'; take its patch off",
                     before.begin()->first);
  return added;
}

// What `to` says before every question and `from` does not; nothing where they say the same.
std::optional<PromptContext> context_difference(const ModelView& from, const ModelView& to) {
  const auto id = [](const PromptContext& context) {
    Hasher hasher;
    add_context(hasher, context);
    return hasher.finish();
  };
  const PromptContext before = merged(from.patches()), after = merged(to.patches());
  if (id(before) == id(after)) return std::nullopt;
  if (!before.edits.empty())
    throw user_error(
        "no difference between models whose prompts hold other edits: a patch adds edits to a prompt and takes none "
        "off");
  return after;
}

// The factor of each patch's deltas.
std::vector<double> factors_of(std::span<const WeightedPatch> parts, const MergeOptions& options) {
  const bool linear = options.method == MergeOptions::Method::kLinear;
  double sum = 0;
  for (const WeightedPatch& part : parts) {
    if (!std::isfinite(part.weight)) throw user_error("a merge weight is not finite");
    sum += part.weight;
  }
  if (!std::isfinite(options.lambda)) throw user_error("the merge's lambda is not finite");
  double scale = linear ? 1.0 : options.lambda;
  if (options.normalise.value_or(linear)) {
    if (std::abs(sum) < 1e-12) throw user_error("the merge weights sum to zero; give others, or do not normalise");
    scale /= sum;
  } else if (linear && std::abs(sum - 1.0) > 1e-6) {
    throw user_error("a linear merge without normalising needs weights that sum to 1, got {}; use task arithmetic",
                     sum);
  }
  std::vector<double> factors;
  for (const WeightedPatch& part : parts) factors.push_back(scale * part.weight);
  return factors;
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.bytes() == b.bytes() &&
         (a.bytes() == 0 || a.raw() == b.raw() || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0);
}

}  // namespace

Patch diff(const ModelView& from, const ModelView& to, const WorkObserver& observer) {
  if (from.graph_hash() != to.graph_hash())
    throw user_error("no difference between models of different graphs ({} and {}): only weights are compared",
                     from.graph_hash().hex().substr(0, 12), to.graph_hash().hex().substr(0, 12));
  Patch patch;
  patch.method = "diff";
  patch.recipe = nlohmann::json{{"from", from.hash().hex()}, {"to", to.hash().hex()}}.dump();
  patch.graph_hash = from.graph_hash();
  patch.files = from.files();
  patch.beneath = from.patch_ids();
  std::map<ParameterOrigin, bool> done;
  std::int64_t compared = 0;
  for (const auto& [value, feed] : from.parameters()) {
    if (observer) observer(++compared, static_cast<std::int64_t>(from.parameters().size()));
    const auto other = to.parameters().find(value);
    if (other == to.parameters().end() || other->second.tensor.dtype() != feed.tensor.dtype() ||
        other->second.tensor.shape() != feed.tensor.shape())
      throw user_error("parameter '{}' is {} in one model and {} in the other", value, feed.tensor.text(),
                       other == to.parameters().end() ? "not there" : other->second.tensor.text());
    const Tensor before = from.master(value);
    const Tensor after = to.master(value);
    if (same_bytes(before, after)) continue;
    const auto origin = from.origins().find(value);
    if (origin == from.origins().end()) throw user_error("parameter '{}' differs but comes from no file", value);
    if (!done.emplace(origin->second, true).second) continue;
    Tensor values = Tensor::empty(DType::kF32, before.shape());
    std::transform(after.values<float>().begin(), after.values<float>().end(), before.data<float>(),
                   values.mutable_data<float>(), std::minus<float>());
    const DeltaTarget target{.file = origin->second.file,
                             .initializer = origin->second.initializer,
                             .transposed = false,
                             .slice = std::nullopt,
                             .stored = feed.tensor.dtype(),
                             .sha256 = from.payload_hash(value)};
    patch.deltas.push_back(
        compressed({"init:" + origin->second.initializer, before.shape(), DenseDelta{values}, {target}}));
  }
  patch.inserts = added_inserts(from, to);
  patch.context = context_difference(from, to);
  check(patch);
  return patch;
}

Patch merge(std::span<const WeightedPatch> parts, const MergeOptions& options, const WorkObserver& observer) {
  if (parts.empty()) throw user_error("nothing to merge: give at least one patch");
  const std::vector<double> factors = factors_of(parts, options);
  const Patch& first = *parts.front().patch;
  nlohmann::json sources = nlohmann::json::array();
  std::vector<Group> groups;
  for (std::size_t p = 0; p < parts.size(); ++p) {
    const Patch& patch = *parts[p].patch;
    if (patch.graph_hash != first.graph_hash || patch.beneath != first.beneath || patch.files != first.files)
      throw user_error("patches {} and {} were made on different models or stacks; merge patches of one base",
                       first.id().hex().substr(0, 12), patch.id().hex().substr(0, 12));
    if (!patch.inserts.empty())
      throw user_error("patch {} adds nodes (insert '{}'): only changes of weights are added up; apply it as it is",
                       patch.id().hex().substr(0, 12), patch.inserts.front().name);
    if (patch.context)
      throw user_error("patch {} changes the prompt, not the weights: there is nothing of it to add up",
                       patch.id().hex().substr(0, 12));
    sources.push_back({{"patch", patch.id().hex()}, {"weight", parts[p].weight}});
    for (const TensorDelta& delta : patch.deltas) {
      const auto group = std::find_if(groups.begin(), groups.end(),
                                      [&](const Group& g) { return same_place(*g.deltas.front(), delta); });
      Group& into = group == groups.end() ? groups.emplace_back() : *group;
      into.deltas.push_back(&delta);
      into.factors.push_back(factors[p]);
    }
  }
  Patch result;
  result.method = "merge";
  const bool linear = options.method == MergeOptions::Method::kLinear;
  result.recipe = nlohmann::json{
      {"merge", linear ? "linear" : "task_arithmetic"},
      {"normalise", options.normalise.value_or(linear)},
      {"lambda", options.lambda},
      {"of", sources}}.dump();
  result.graph_hash = first.graph_hash;
  result.files = first.files;
  result.beneath = first.beneath;
  for (const Group& group : groups) {
    result.deltas.push_back(sum_of(group));
    if (observer) observer(static_cast<std::int64_t>(result.deltas.size()), static_cast<std::int64_t>(groups.size()));
  }
  check(result);
  return result;
}

}  // namespace retune
