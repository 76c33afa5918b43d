#include "editors/mechanisms/key_mapping.h"

#include <algorithm>
#include <cmath>

#include "learning/site_weight.h"
#include "tensor/error.h"

namespace retune {

namespace {

// The weight as it is measured: rounded to the stored type, unlike the master that the next edit starts from.
Tensor measured_weight(const Bundle& bundle, const Site& site) {
  const DeltaTarget& target = site.targets.at(0);
  const std::string name = parameters_of(bundle.view(), target)[0];
  return site_part(bundle.parameters().at(name).tensor.cast(DType::kF32), site.delta_shape, target);
}

double dot(const float* row, const std::vector<double>& key) {
  double sum = 0;
  for (std::size_t i = 0; i < key.size(); ++i) sum += static_cast<double>(row[i]) * key[i];
  return sum;
}

}  // namespace

double key_tolerance(DType stored) {
  const double roundoff = stored == DType::kBF16 ? 0x1p-8 : stored == DType::kF16 ? 0x1p-11 : 0x1p-24;
  return std::max(1e-4, 2 * roundoff);
}

double prove_key_mapping(const Bundle& bundle, const Site& site, const LowRankDelta& change, const KeyValue& wanted) {
  const Tensor weight = measured_weight(bundle, site);
  const Tensor bias = site.bias ? bundle.parameters().at(*site.bias).tensor.cast(DType::kF32) : Tensor();
  const std::int64_t rank = change.v.shape()[1];
  std::vector<double> along(static_cast<std::size_t>(rank), 0.0);
  for (std::int64_t i = 0; i < site.in; ++i)
    for (std::int64_t r = 0; r < rank; ++r)
      along[static_cast<std::size_t>(r)] +=
          static_cast<double>(change.v.data<float>()[i * rank + r]) * wanted.key[static_cast<std::size_t>(i)];
  double error = 0, whole = 0;
  for (std::int64_t o = 0; o < site.out; ++o) {
    const double target = wanted.value[static_cast<std::size_t>(o)];
    double value = dot(weight.data<float>() + o * site.in, wanted.key) + dot(change.u.data<float>() + o * rank, along);
    if (bias.defined()) value += static_cast<double>(bias.data<float>()[o % bias.numel()]);
    error += (value - target) * (value - target);
    whole += target * target;
  }
  const double share = std::sqrt(error / whole);
  const double most = key_tolerance(site.targets.at(0).stored);
  if (!(share <= most))
    throw failure(
        "the change of '{}' takes its key {:.1e} of the target's length past the target (at most {:.1e}): retune does "
        "not read this layer's weight as the model does; see retune inspect --check",
        site.name, share, most);
  return share;
}

}  // namespace retune
