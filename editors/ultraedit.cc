#include "editors/ultraedit.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "adapters/patch_memory.h"
#include "editors/mechanisms/closed_form.h"
#include "editors/mechanisms/context_views.h"
#include "editors/mechanisms/site_pattern.h"
#include "learning/gradient_factors.h"
#include "tensor/error.h"

namespace retune {

namespace {

constexpr double kLeastDeviation = 1e-7;

// The tokens of all requests at one site: h and g side by side.
struct Tokens {
  std::vector<double> values;  // [n, in + out]

  void add(const GradientFactors& factors) {
    const std::int64_t count = factors.inputs.shape()[0], in = factors.inputs.shape()[1],
                       out = factors.gradients.shape()[1];
    for (std::int64_t t = 0; t < count; ++t) {
      const float* h = factors.inputs.data<float>() + t * in;
      const float* g = factors.gradients.data<float>() + t * out;
      values.insert(values.end(), h, h + in);
      values.insert(values.end(), g, g + out);
    }
  }
};

class UltraEdit : public Editor {
 public:
  UltraEdit(EditorInfo info, Settings settings) : info_(std::move(info)), settings_(std::move(settings)) {}
  const EditorInfo& info() const override { return info_; }
  const Settings& settings() const override { return settings_; }

  std::vector<Site> sites(const Bundle& bundle) const override {
    std::vector<Site> found = linear_sites(bundle, texts_of(settings_, "sites"));
    for (const Site& site : found) require_editable(site);
    return found;
  }

  Patch edit(Session& session, const Bundle& bundle, std::span<const EditRequest> requests, const Prepared& prepared,
             Rng, const StepObserver& observer) const override {
    Patch patch = empty_patch(*this, bundle, requests);
    if (requests.empty()) return patch;
    const std::vector<Site> edited = sites(bundle);
    std::vector<Tokens> tokens(edited.size());
    double loss = 0;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      const PromptView view = view_prompt(session, bundle, requests[i].question, sound_of(requests[i]));
      const Lesson lesson{view.prompt, target_ids(bundle, requests[i].new_label), 1, Objective::kTargetNew};
      const FactorReading reading = gradient_factors(session, bundle, prepared.losses, edited, lesson);
      for (std::size_t s = 0; s < edited.size(); ++s) tokens[s].add(reading.factors[s]);
      loss += reading.loss / static_cast<double>(requests.size());
      if (observer)
        observer(
            {"gradients", static_cast<std::int64_t>(i) + 1, static_cast<std::int64_t>(requests.size()), reading.loss});
    }
    patch.notes["loss"] = {loss};
    patch.notes["updates"] = {1};
    for (std::size_t s = 0; s < edited.size(); ++s) write(patch, bundle, edited[s], std::move(tokens[s].values));
    return patch;
  }

 private:
  void write(Patch& patch, const Bundle& bundle, const Site& site, std::vector<double> values) const {
    const std::int64_t width = site.in + site.out;
    const auto count = static_cast<std::int64_t>(values.size()) / width;
    const Matrix rows(count, width, std::move(values));
    const RunningMoments own = RunningMoments::of(rows);
    const Matrix normal = RunningMoments::joined(earlier(bundle, site), own).normalised(rows);
    remember(patch, site, own);
    const double rate = settings_.at("learning_rate").get<double>();
    Matrix r(site.out, rows.rows);  // V^T
    for (std::int64_t t = 0; t < rows.rows; ++t) {
      double length = 0;
      for (std::int64_t i = 0; i < site.in; ++i) length += normal(t, i) * normal(t, i);
      for (std::int64_t o = 0; o < site.out; ++o) r(o, t) = -rate * length * normal(t, site.in + o);
    }
    const Matrix keys = transpose(columns_of(rows, 0, site.in));
    TensorDelta delta = thin_delta(bundle, site, r, key_solve(PreservedKeys::alike(site.in, 1), keys, 1));
    patch.notes["update_norm"].push_back(norm(delta));
    if (!is_zero(delta)) patch.deltas.push_back(std::move(delta));
  }

  std::string memory_name(const char* part, const Site& site) const {
    return fmt::format("{}/{}/{}", info_.word, part, site.name);
  }

  void remember(Patch& patch, const Site& site, const RunningMoments& own) const {
    patch.memory[memory_name("count", site)] = Tensor::vector<std::int64_t>({own.count});
    patch.memory[memory_name("mean", site)] = Tensor::vector<double>(own.mean);
    patch.memory[memory_name("squares", site)] = Tensor::vector<double>(own.squares);
  }

  RunningMoments earlier(const Bundle& bundle, const Site& site) const {
    const auto counts = remembered(bundle.view(), memory_name("count", site));
    const auto means = remembered(bundle.view(), memory_name("mean", site));
    const auto squares = remembered(bundle.view(), memory_name("squares", site));
    const std::int64_t width = site.in + site.out;
    RunningMoments all;
    for (std::size_t i = 0; i < counts.size(); ++i) {
      if (means.size() != counts.size() || squares.size() != counts.size() || counts[i].dtype() != DType::kI64 ||
          counts[i].numel() != 1 || counts[i].data<std::int64_t>()[0] < 1 || means[i].numel() != width ||
          squares[i].numel() != width)
        throw user_error("{}: a patch beneath remembers moments of '{}' that are not of width {}", info_.word,
                         site.name, width);
      all = RunningMoments::joined(all, {counts[i].data<std::int64_t>()[0], means[i].to_f64(), squares[i].to_f64()});
    }
    return all;
  }

  EditorInfo info_;
  Settings settings_;
};

std::unique_ptr<const Editor> make(const EditorInfo& info, Settings settings) {
  return std::make_unique<UltraEdit>(info, std::move(settings));
}

}  // namespace

RunningMoments RunningMoments::of(const Matrix& rows) {
  const auto width = static_cast<std::size_t>(rows.columns);
  RunningMoments moments{rows.rows, std::vector<double>(width, 0.0), std::vector<double>(width, 0.0)};
  for (std::int64_t t = 0; t < rows.rows; ++t)
    for (std::size_t d = 0; d < width; ++d)
      moments.mean[d] += rows(t, static_cast<std::int64_t>(d)) / static_cast<double>(rows.rows);
  for (std::int64_t t = 0; t < rows.rows; ++t)
    for (std::size_t d = 0; d < width; ++d) {
      const double off = rows(t, static_cast<std::int64_t>(d)) - moments.mean[d];
      moments.squares[d] += off * off;
    }
  return moments;
}

RunningMoments RunningMoments::joined(const RunningMoments& a, const RunningMoments& b) {
  if (a.count == 0) return b;
  if (b.count == 0) return a;
  if (a.mean.size() != b.mean.size()) throw std::logic_error("moments of vectors of two widths");
  RunningMoments both{a.count + b.count, a.mean, a.squares};
  const auto of_a = static_cast<double>(a.count), of_b = static_cast<double>(b.count);
  for (std::size_t d = 0; d < a.mean.size(); ++d) {
    const double apart = b.mean[d] - a.mean[d];
    both.mean[d] += apart * of_b / (of_a + of_b);
    both.squares[d] += b.squares[d] + apart * apart * of_a * of_b / (of_a + of_b);
  }
  return both;
}

Matrix RunningMoments::normalised(const Matrix& rows) const {
  Matrix result = rows;
  const auto free = static_cast<double>(std::max<std::int64_t>(count - 1, 1));
  for (std::int64_t d = 0; d < rows.columns; ++d) {
    const auto at = static_cast<std::size_t>(d);
    const double deviation = std::sqrt(squares[at] / free) + kLeastDeviation;
    for (std::int64_t t = 0; t < rows.rows; ++t) result(t, d) = (rows(t, d) - mean[at]) / deviation;
  }
  return result;
}

EditingMethod ultraedit_method() {
  EditingMethod method;
  method.info = {"ultraedit",
                 "one gradient and one solve a layer, normalised over all edits so far",
                 "arXiv 2505.14679",
                 "nothing",
                 true,
                 true};
  method.settings = {
      {"sites",
       Setting::Type::kTexts,
       "decoder.block.55%.mlp.down",
       {},
       {},
       {},
       "parts of the model whose linear layers move: decoder.block.N.mlp, connector, encoder.block.N.mlp, a site; N "
       "may "
       "be 'last' or a share of the depth such as 55%"},
      {"learning_rate",
       Setting::Type::kNumber,
       1e-6,
       0,
       1e3,
       {},
       "eta: how far the output moves against the normalised gradient, for each unit of the key's squared length"}};
  method.make = make;
  return method;
}

}  // namespace retune
