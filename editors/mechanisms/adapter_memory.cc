#include "editors/mechanisms/adapter_memory.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "lalm/insert_builder.h"
#include "learning/site_weight.h"
#include "tensor/error.h"

namespace retune {

namespace {

constexpr const char* kScale = "adapter scale";  // f64 [3]: scale, discount, 1 if beside
constexpr const char* kPrefix = "adapter/";      // adapter/SITE/A f32 [r, in], adapter/SITE/B f32 [out, r]

bool carries_adapter(const Patch& patch, const std::string& method) {
  return patch.method == method && patch.memory.contains(kScale);
}

AdapterState state_of(const Patch& patch) {
  AdapterState state;
  const std::vector<double> scale = patch.memory.at(kScale).to_f64();
  if (scale.size() != 3) throw user_error("the adapter in a patch beneath is damaged: its scale is no three numbers");
  state.scale = scale[0];
  state.discount = scale[1];
  state.beside = scale[2] != 0;
  const std::string prefix = kPrefix;
  for (const auto& [name, tensor] : patch.memory) {
    if (!name.starts_with(prefix) || name.size() < prefix.size() + 3) continue;
    LowRankFactors& factors = state.adapter[name.substr(prefix.size(), name.size() - prefix.size() - 2)];
    (name.ends_with("/A") ? factors.a : factors.b) = tensor;
  }
  for (const auto& [site, factors] : state.adapter)
    if (factors.a.dtype() != DType::kF32 || factors.b.dtype() != DType::kF32 || factors.a.shape().rank() != 2 ||
        factors.b.shape().rank() != 2 || factors.a.shape()[0] != factors.b.shape()[1])
      throw user_error("the adapter in a patch beneath is damaged: A and B of '{}' do not fit each other", site);
  return state;
}

struct Term {
  double factor;
  const LowRankFactors* factors;
};

bool is_all_zero(const Tensor& tensor) {
  const auto values = tensor.values<float>();
  return std::all_of(values.begin(), values.end(), [](float value) { return value == 0.0F; });
}

const LowRankFactors* factors_at(const AdapterState& state, const Site& site) {
  const auto found = state.adapter.find(site.name);
  return found == state.adapter.end() ? nullptr : &found->second;
}

// What is added now and, with the other sign, what was before; what adds nothing is left out.
std::vector<Term> terms_of(const Site& site, const AdapterState& now, const AdapterState* before) {
  std::vector<Term> terms;
  const auto add = [&](const AdapterState& state, double sign) {
    const LowRankFactors* factors = factors_at(state, site);
    if (factors && state.factor() != 0 && !is_all_zero(factors->b)) terms.push_back({sign * state.factor(), factors});
  };
  add(now, 1);
  if (before) add(*before, -1);
  return terms;
}

bool add_the_same(const std::vector<Term>& terms) {
  return terms.size() == 2 && terms[0].factor == -terms[1].factor &&
         identical(terms[0].factors->a, terms[1].factors->a) && identical(terms[0].factors->b, terms[1].factors->b);
}

}  // namespace

std::optional<AdapterState> adapter_beneath(const Bundle& bundle, const std::string& method) {
  const auto& patches = bundle.view().patches();
  const auto top = std::find_if(patches.rbegin(), patches.rend(),
                                [&](const auto& patch) { return carries_adapter(*patch, method); });
  return top == patches.rend() ? std::nullopt : std::optional(state_of(**top));
}

Bundle without_adapter(const Bundle& bundle, const std::string& method) {
  Bundle plain = without_patches(bundle);
  for (const auto& patch : bundle.view().patches()) {
    if (carries_adapter(*patch, method)) continue;
    Patch moved = *patch;
    moved.beneath = plain.view().patch_ids();
    plain = plain.with(std::make_shared<const Patch>(std::move(moved)));
  }
  return plain;
}

void remember(Patch& patch, const AdapterState& state) {
  patch.memory[kScale] = Tensor::vector<double>({state.scale, state.discount, state.beside ? 1.0 : 0.0});
  for (const auto& [site, factors] : state.adapter) {
    patch.memory[kPrefix + site + "/A"] = factors.a;
    patch.memory[kPrefix + site + "/B"] = factors.b;
  }
}

std::optional<TensorDelta> adapter_delta(const Bundle& bundle, const Site& site, const AdapterState& now,
                                         const AdapterState* before) {
  const std::vector<Term> terms = terms_of(site, now, before);
  if (terms.empty() || add_the_same(terms)) return std::nullopt;
  std::int64_t rank = 0, first = 0;
  for (const Term& term : terms) rank += term.factors->a.shape()[0];
  LowRankDelta delta{Tensor::empty(DType::kF32, {site.out, rank}), Tensor::empty(DType::kF32, {site.in, rank})};
  for (const Term& term : terms) {
    const std::int64_t own = term.factors->a.shape()[0];
    const float *a = term.factors->a.data<float>(), *b = term.factors->b.data<float>();
    for (std::int64_t k = 0; k < own; ++k) {
      for (std::int64_t o = 0; o < site.out; ++o)
        delta.u.mutable_data<float>()[o * rank + first + k] =
            static_cast<float>(term.factor * static_cast<double>(b[o * own + k]));
      for (std::int64_t i = 0; i < site.in; ++i)
        delta.v.mutable_data<float>()[i * rank + first + k] = a[k * site.in + i];
    }
    first += own;
  }
  return TensorDelta{site.name, site.delta_shape, std::move(delta), hashed_targets(bundle.view(), site)};
}

std::optional<GraphInsert> adapter_insert(const Bundle& model, const std::string& name, const Site& site,
                                          const AdapterState& now, const AdapterState* before) {
  const std::vector<Term> terms = terms_of(site, now, before);
  if (terms.empty() || add_the_same(terms)) return std::nullopt;
  InsertBuilder builder(model, name, site.value);
  ValueId value = builder.tap(site.value);
  if (terms[0].factor == now.factor() && terms[0].factors == factors_at(now, site)) {
    const Term& term = terms[0];
    const ValueId low = builder.op(
        "MatMul", {builder.tap(site.key), builder.tensor(transposed(term.factors->a), site.name + ".lora_A")});
    const ValueId path =
        builder.op("MatMul", {low, builder.tensor(transposed(term.factors->b), site.name + ".lora_B")});
    value = builder.op("Add", {value, builder.op("Mul", {path, builder.scalar(term.factor)})});
  }
  builder.replace(site.value, value);
  return builder.finish();
}

}  // namespace retune
