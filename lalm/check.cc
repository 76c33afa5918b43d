#include "lalm/check.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "lalm/answer.h"
#include "tensor/error.h"

namespace retune {

namespace {

// Of the range of what is compared: as for other runtimes, or four units of roundoff of 16-bit activations.
double tolerance_of(DType dtype) {
  switch (dtype) {
    case DType::kBF16:
      return 0x1p-6;
    case DType::kF16:
      return 0x1p-9;
    default:
      return 1e-3;
  }
}

constexpr const char* kQuestion = "Which animal is it?\n\nOptions:\ndog\ncat";

CheckResult agreement(const std::string& name, DType dtype, double gap, const std::string& advice) {
  const double tolerance = tolerance_of(dtype);
  const bool passed = gap <= tolerance;
  return {name, passed,
          passed ? fmt::format("agree to {:.2g} of the range", gap)
                 : fmt::format("differ by {:.2g} of the range (at most {:g}); {}", gap, tolerance, advice)};
}

// What is wrong with a tensor's numbers; empty if nothing is. A mask may hold -infinity, beside zeros.
std::string_view defect(const Tensor& tensor) {
  constexpr std::int64_t kBlock = 1 << 20;
  const Tensor flat = tensor.reshaped({tensor.numel()});
  bool nan = false, above = false, below = false, weighs = false;
  for (std::int64_t begin = 0; begin < flat.numel(); begin += kBlock) {
    const Tensor block = flat.rows(begin, std::min(kBlock, flat.numel() - begin)).cast(DType::kF32);
    for (std::int64_t i = 0; i < block.numel(); ++i) {
      const float x = block.data<float>()[i];
      nan |= std::isnan(x);
      above |= x == INFINITY;
      below |= x == -INFINITY;
      weighs |= x != 0 && std::isfinite(x);
    }
  }
  if (nan) return "NaN";
  return above || (below && weighs) ? "infinity" : "";
}

// A row that no check's question reads, such as the embedding of a rare token, may be damaged too.
CheckResult check_weights(const Bundle& bundle) {
  for (const auto& [name, feed] : bundle.parameters()) {
    const std::string_view found = is_float(feed.tensor.dtype()) ? defect(feed.tensor) : "";
    if (found.empty()) continue;
    const auto origin = bundle.view().origins().find(name);
    return {"finite weights", false,
            origin == bundle.view().origins().end()
                ? fmt::format("'{}' holds {}", name, found)
                : fmt::format("tensor '{}' in {} holds {}; get the whole file, or train or export it anew",
                              origin->second.initializer, origin->second.file, found)};
  }
  return {"finite weights", true, fmt::format("{} tensors", bundle.parameters().size())};
}

Tensor whole_logits(Session& session, const Bundle& bundle, const Prompt& prompt) {
  SuffixRequest request = suffix_request(session, bundle, prompt, {}, 0);
  request.request.outputs = {"logits"};
  return session.run(request.graph, bundle.parameters(), request.request)["logits"].tensor;
}

Tensor doubled(const Tensor& tensor) {
  std::vector<std::int64_t> extents = tensor.shape().extents();
  extents[0] *= 2;
  Tensor result = Tensor::empty(tensor.dtype(), Shape(extents));
  std::copy_n(tensor.raw(), tensor.bytes(), result.mutable_raw());
  std::copy_n(tensor.raw(), tensor.bytes(), result.mutable_raw() + tensor.bytes());
  return result;
}

// `one`: the logits of the prompt alone.
CheckResult check_batch(Session& session, const Bundle& bundle, const Prompt& prompt, const Tensor& one) {
  SuffixRequest request = suffix_request(session, bundle, prompt, {}, 0);
  request.request.outputs = {"logits"};
  const std::int64_t positions = request.request.inputs["input_ids"].tensor.numel();
  for (auto& [name, feed] : request.request.inputs) {
    if (feed.tensor.shape().rank() < 2) continue;
    Tensor twice = doubled(feed.tensor);
    // Rows count through the flattened batch: the second prompt's slots lie one prompt further on.
    if (name == "audio_rows")
      for (std::int64_t i = feed.tensor.numel(); i < twice.numel(); ++i)
        twice.mutable_data<std::int64_t>()[i] += positions;
    feed = {std::move(twice), {}};
  }
  const Tensor two = session.run(request.graph, bundle.parameters(), request.request)["logits"].tensor;
  return agreement("two batch sizes", one.dtype(), range_difference(one, two.rows(1, 1)),
                   "the graph has a batch size baked in; export it with dynamic axes");
}

CheckResult check_site(Session& session, const Bundle& bundle, const Prompt& prompt) {
  const auto& sites = bundle.sites().sites;
  const auto site = std::find_if(sites.begin(), sites.end(), [](const Site& s) {
    return s.kind == Site::Kind::kLinear && s.name.ends_with(".mlp.down");
  });
  if (site != sites.end() && !is_float(site->targets[0].stored))
    return {"a captured site", true, fmt::format("not compared: the weight of {} is quantised", site->name)};
  if (site == sites.end())
    return {"edit sites", false,
            "no decoder block with an MLP was recognised; only node: and init: sites can be edited"};
  SuffixRequest request = suffix_request(session, bundle, prompt, {}, 0);
  request.request.outputs = {site->key, site->value};
  const Results captured = session.run(request.graph, bundle.parameters(), request.request);
  const Tensor key = captured[site->key].tensor.cast(DType::kF32);
  const Tensor weight = bundle.view().master(site->weight);
  const std::int64_t row = key.numel() / site->in - 1;
  Tensor product = Tensor::zeros(DType::kF32, {site->out});
  const bool transposed = site->targets[0].transposed;
  for (std::int64_t o = 0; o < site->out; ++o) {
    double sum = site->bias ? static_cast<double>(bundle.view().master(*site->bias).data<float>()[o]) : 0.0;
    for (std::int64_t i = 0; i < site->in; ++i)
      sum += static_cast<double>(weight.data<float>()[transposed ? i * site->out + o : o * site->in + i]) *
             static_cast<double>(key.data<float>()[row * site->in + i]);
    product.mutable_data<float>()[o] = static_cast<float>(sum);
  }
  const Tensor& value = captured[site->value].tensor;
  const Tensor last = value.reshaped({value.numel() / site->out, site->out}).rows(row, 1);
  return agreement("a captured site", value.dtype(), range_difference(last, product),
                   fmt::format("the weight of {} is not read in the right orientation", site->name));
}

}  // namespace

double range_difference(const Tensor& measured, const Tensor& other) {
  if (measured.numel() != other.numel() || measured.numel() == 0) return INFINITY;
  const Tensor x = measured.cast(DType::kF32), y = other.cast(DType::kF32);
  double largest = 0, low = INFINITY, high = -INFINITY;
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    const double p = x.data<float>()[i], q = y.data<float>()[i];
    if (std::isfinite(p)) {
      low = std::min(low, p);
      high = std::max(high, p);
    }
    if (p == q || (std::isnan(p) && std::isnan(q))) continue;
    if (!std::isfinite(p) || !std::isfinite(q)) return INFINITY;
    largest = std::max(largest, std::abs(p - q));
  }
  return largest == 0 ? 0 : largest / std::max(high - low, 1e-30);
}

Waveform test_tone(int rate_hz) {
  Waveform tone;
  tone.rate_hz = rate_hz;
  const int samples = 2 * rate_hz;
  for (int i = 0; i < samples; ++i) {
    const double t = static_cast<double>(i) / rate_hz;
    tone.samples.push_back(static_cast<float>(0.3 * std::sin(2.0 * std::numbers::pi * (300.0 + 200.0 * t) * t)));
  }
  return tone;
}

std::vector<CheckResult> check_bundle(Session& session, const Bundle& bundle, const WorkObserver& observer) {
  constexpr std::int64_t kParts = 7;  // what takes the time: every weight is read, and six times the model is asked
  std::int64_t parts = 0;
  const auto ran = [&] {
    if (observer) observer(++parts, kParts);
  };
  std::vector<CheckResult> results;
  results.push_back(check_weights(bundle));
  ran();
  const std::optional<Waveform> tone = test_tone(bundle.front_end().options().rate_hz);
  const Prompt prompt = prompt_for(session, bundle, kQuestion, tone);
  ran();
  results.push_back({"placeholders", static_cast<std::int64_t>(prompt.audio_rows.size()) > 0,
                     fmt::format("{} encoder rows for 2 s of sound", prompt.audio_rows.size())});

  const Tensor whole = whole_logits(session, bundle, prompt);
  ran();
  const Tensor flat = whole.reshaped({whole.shape()[1], whole.shape()[2]});
  const Tensor wide = whole.cast(DType::kF32);
  const bool finite =
      std::all_of(wide.data<float>(), wide.data<float>() + wide.numel(), [](float x) { return std::isfinite(x); });
  results.push_back(
      {"finite logits", finite, finite ? "all finite" : "NaN or infinity: the weights are damaged, or f16 overflows"});
  const std::int64_t vocabulary = whole.shape()[2];
  results.push_back({"vocabulary", vocabulary >= bundle.tokenizer().vocabulary_size(),
                     fmt::format("{} logits for {} tokens", vocabulary, bundle.tokenizer().vocabulary_size())});
  if (!finite) return results;

  const std::vector<std::int64_t> more = bundle.tokenizer().encode("dog dog dog");
  const Tensor longer = logits_of(session, bundle, prompt, more, prompt.length() - 1);
  ran();
  results.push_back(agreement("two lengths", flat.dtype(),
                              range_difference(flat.rows(prompt.length() - 1, 1), longer.rows(0, 1)),
                              "the graph has a length baked in, or its mask is not causal"));
  if (bundle.decoder().caches.empty()) {
    results.push_back({"prefix and suffix", true, "no cache: every evaluation is whole"});
  } else {
    const Tensor split = logits_of(session, bundle, prompt, {}, prompt.prefix_length());
    results.push_back(
        agreement("prefix and suffix", flat.dtype(),
                  range_difference(flat.rows(prompt.prefix_length(), prompt.length() - prompt.prefix_length()), split),
                  "the cache inputs do not continue a prompt; position_ids or the mask are read differently"));
  }
  ran();
  results.push_back(check_batch(session, bundle, prompt, whole));
  ran();
  results.push_back(check_site(session, bundle, prompt));
  ran();
  return results;
}

void require_checks(const std::vector<CheckResult>& results) {
  for (const CheckResult& result : results)
    if (!result.passed)
      throw proof_error("this model is not read rightly: {}: {}; see retune inspect --check", result.name,
                        result.detail);
}

}  // namespace retune
