#include "editors/memit.h"

#include "editors/mechanisms/closed_form.h"
#include "editors/mechanisms/spread_editor.h"

namespace retune {

namespace {

class Memit : public SpreadEditor {
 public:
  using SpreadEditor::SpreadEditor;

 private:
  Matrix solve(const Bundle&, const Prepared& prepared, const Site& site, const Matrix& keys,
               Patch& patch) const override {
    const double lambda = number("lambda") * (text("lambda_mode") == "relative" ? static_cast<double>(site.in) : 1.0);
    patch.notes["lambda"].push_back(lambda);
    const PreservedKeys preserved =
        PreservedKeys::of(prepared.second_moments, site, info().word, settings(), mean_square(keys));
    return key_solve(preserved, keys, lambda);
  }
};

std::unique_ptr<const Editor> make(const EditorInfo& info, Settings settings) {
  return std::make_unique<Memit>(info, std::move(settings));
}

}  // namespace

EditingMethod memit_method() {
  EditingMethod method;
  method.info = {"memit",
                 "writes many facts at once, spread over the MLPs of several layers",
                 "arXiv 2210.07229",
                 "a corpus or its second moments",
                 true,
                 true};
  method.settings = spread_settings(
      4, {{"lambda_mode",
           Setting::Type::kText,
           "relative",
           {},
           {},
           {"relative", "absolute"},
           "whether lambda is in widths of the keys"},
          {"lambda",
           Setting::Type::kNumber,
           1.4,
           0,
           1e9,
           {},
           "how much the model's other keys weigh against the new ones; one request writes about 1 / (1 + lambda) of "
           "what a layer is to add"}});
  method.make = make;
  return method;
}

}  // namespace retune
