#include "editors/emmet.h"

#include <optional>
#include <utility>

#include "editors/mechanisms/closed_form.h"
#include "editors/mechanisms/spread_editor.h"
#include "tensor/error.h"
#include "tensor/linear_algebra.h"

namespace retune {

namespace {

class Emmet : public SpreadEditor {
 public:
  using SpreadEditor::SpreadEditor;

  Patch edit(Session& session, const Bundle& bundle, std::span<const EditRequest> requests, const Prepared& prepared,
             Rng rng, const StepObserver& observer) const override {
    for (const Site& site : sites(bundle))
      if (static_cast<std::int64_t>(requests.size()) > site.in)
        throw user_error(
            "{}: {} requests cannot all be met by '{}' of width {}; make several batches, or use a method that "
            "need not meet them",
            info().word, requests.size(), site.name, site.in);
    return SpreadEditor::edit(session, bundle, requests, prepared, std::move(rng), observer);
  }

 private:
  Matrix solve(const Bundle&, const Prepared& prepared, const Site& site, const Matrix& keys, Patch&) const override {
    const PreservedKeys preserved =
        PreservedKeys::of(prepared.second_moments, site, info().word, settings(), mean_square(keys));
    return emmet_factor(
        preserved, keys,
        {number("preserve_weight"), number("mu"), number("epsilon"), text("epsilon_mode") == "relative"});
  }
};

std::unique_ptr<const Editor> make(const EditorInfo& info, Settings settings) {
  return std::make_unique<Emmet>(info, std::move(settings));
}

// C'^-1 K.
Matrix whitened(const PreservedKeys& preserved, const Matrix& keys, const EmmetWeights& weights) {
  if (weights.mu == 0) return scaled(preserved.solve(keys), 1 / weights.preserved);
  const Matrix c = shifted(scaled(preserved.matrix(), weights.preserved), weights.mu);
  const std::optional<Cholesky> factor = Cholesky::factor(c.values, c.rows);
  if (!factor) throw failure("emmet: the weighted second moment is singular; raise mu ({})", weights.mu);
  return {keys.rows, keys.columns, factor->solve(keys.values, keys.columns)};
}

}  // namespace

Matrix emmet_factor(const PreservedKeys& preserved, const Matrix& keys, const EmmetWeights& weights) {
  const Matrix y = whitened(preserved, keys, weights);
  double epsilon = weights.epsilon;
  if (weights.relative) epsilon *= trace(product(transpose(keys), y)) / static_cast<double>(keys.columns);
  return narrow_solve(y, keys, epsilon);
}

EditingMethod emmet_method() {
  const auto number = Setting::Type::kNumber;
  EditingMethod method;
  method.info = {"emmet",
                 "ROME for many facts at once: exact values with the least disturbance",
                 "arXiv 2403.14236",
                 "a corpus or its second moments",
                 true,
                 true};
  method.settings = spread_settings(
      1, {{"epsilon_mode",
           Setting::Type::kText,
           "relative",
           {},
           {},
           {"relative", "absolute"},
           "whether epsilon is in mean squared lengths of the keys, in the metric of the second moment"},
          {"epsilon", number, 0.01, 0, 1e9, {}, "slack that near-equal keys need; 0: every value is met exactly"},
          {"preserve_weight", number, 1, 1e-9, 1e9, {}, "weight of the second moment"},
          {"mu", number, 0, 0, 1e9, {}, "multiple of the identity added to the weighted second moment"}});
  method.make = make;
  return method;
}

}  // namespace retune
