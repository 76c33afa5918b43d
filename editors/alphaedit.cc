#include "editors/alphaedit.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "adapters/patch_memory.h"
#include "editors/mechanisms/moment_source.h"
#include "editors/mechanisms/spread_editor.h"
#include "tensor/error.h"
#include "tensor/linear_algebra.h"

namespace retune {

namespace {

Tensor rows_of(const Matrix& columns) {
  return Tensor::of<double>({columns.columns, columns.rows}, transpose(columns).values);
}

class AlphaEdit : public SpreadEditor {
 public:
  using SpreadEditor::SpreadEditor;

  // The null spaces are all that an edit needs of the second moments.
  Prepared prepare(Session& session, const Bundle& bundle, const Corpus* corpus,
                   const StepObserver& observer) const override {
    if (text("second_moment") == "identity")
      throw user_error(
          "{}: without a second moment there are no directions to keep free; give a corpus, or a file of retune stats",
          info().word);
    Prepared prepared = SpreadEditor::prepare(session, bundle, corpus, observer);
    const NullSpaceRule rule{
        text("tau_mode") == "energy" ? NullSpaceRule::Mode::kEnergy : NullSpaceRule::Mode::kAbsolute, number("tau")};
    for (const Site& site : sites(bundle)) {
      NullSpace free = null_space(moment_matrix(prepared.second_moments, site, info().word, settings()), rule);
      if (free.basis.columns == 0)
        throw user_error("{}: the keys of '{}' use every direction: none is below tau ({} of mode {}); raise tau",
                         info().word, site.name, rule.tau, text("tau_mode"));
      prepared.null_spaces.emplace(site.name, std::move(free));
    }
    prepared.second_moments.clear();
    return prepared;
  }

 private:
  Matrix solve(const Bundle& bundle, const Prepared& prepared, const Site& site, const Matrix& keys,
               Patch& patch) const override {
    const auto found = prepared.null_spaces.find(site.name);
    if (found == prepared.null_spaces.end())
      throw user_error("{}: prepare() was not asked for the null space of '{}'", info().word, site.name);
    const NullSpace& free = found->second;
    double l2 = number("l2");
    if (text("l2_mode") == "relative") l2 *= mean_length(product(transpose(free.basis), keys));
    if (!(l2 > 0))
      throw failure(
          "{}: the keys of these requests at '{}' have no part in the null space, or l2 is 0; raise tau or l2",
          info().word, site.name);
    patch.notes["null_space_rank"].push_back(static_cast<double>(free.basis.columns));
    patch.notes["null_space_limit"].push_back(free.limit);
    patch.notes["l2"].push_back(l2);
    return alphaedit_factor(free, keys, earlier_keys(bundle, site), l2);
  }

  void remember(const Site& site, const Matrix& keys, Patch& patch) const override {
    patch.memory[memory_name(site)] = rows_of(keys);
  }

  std::string memory_name(const Site& site) const { return info().word + "/keys/" + site.name; }

  Matrix earlier_keys(const Bundle& bundle, const Site& site) const {
    Matrix earlier(site.in, 0);
    for (const Tensor& keys : remembered(bundle.view(), memory_name(site))) {
      if (keys.dtype() != DType::kF64 || keys.shape().rank() != 2 || keys.shape()[1] != site.in)
        throw user_error("{}: a patch beneath remembers {} as keys of '{}', expected f64 [n, {}]", info().word,
                         keys.text(), site.name, site.in);
      earlier = beside(earlier, transpose({keys.shape()[0], site.in, keys.to_f64()}));
    }
    return earlier;
  }

  // Of the squares, over the columns.
  static double mean_length(const Matrix& keys) {
    double total = 0;
    for (const double item : keys.values) total += item * item;
    return total / static_cast<double>(keys.columns);
  }
};

std::unique_ptr<const Editor> make(const EditorInfo& info, Settings settings) {
  return std::make_unique<AlphaEdit>(info, std::move(settings));
}

// A^-1 B of a positive definite A.
Matrix solved(const Matrix& a, const Matrix& b) {
  const std::optional<Cholesky> factor = Cholesky::factor(a.values, a.rows);
  if (!factor) throw failure("alphaedit: the keys leave a singular system; raise l2");
  return {b.rows, b.columns, factor->solve(b.values, b.columns)};
}

}  // namespace

Matrix alphaedit_factor(const NullSpace& free, const Matrix& keys, const Matrix& earlier, double l2) {
  // With B = [K^, U^T Kp]: (B B^T + l2 I)^-1 B = B (B^T B + l2 I)^-1, of which K^ gives the first N columns.
  const Matrix b = product(transpose(free.basis), beside(keys, earlier));
  const std::int64_t n = keys.columns;
  Matrix x;
  if (b.columns < b.rows) {
    const Matrix chosen = columns_of(Matrix::identity(b.columns), 0, n);
    x = product(b, solved(shifted(product(transpose(b), b), l2), chosen));
  } else {
    x = solved(shifted(product(b, transpose(b)), l2), columns_of(b, 0, n));
  }
  return product(free.basis, x);
}

EditingMethod alphaedit_method() {
  const auto text = Setting::Type::kText;
  const auto number = Setting::Type::kNumber;
  EditingMethod method;
  method.info = {"alphaedit",
                 "MEMIT kept to directions that other keys hardly use, with a memory of earlier edits",
                 "arXiv 2410.02355",
                 "a corpus or its second moments",
                 true,
                 true};
  method.settings = spread_settings(
      4, {{"tau_mode",
           text,
           "energy",
           {},
           {},
           {"energy", "absolute"},
           "what tau is: the share of the keys' mean square that the free directions hold together, or the eigenvalue "
           "below which a direction is free"},
          {"tau", number, 1e-2, 0, 1e9, {}, "how much of the keys the free directions may hold"},
          {"l2_mode",
           text,
           "relative",
           {},
           {},
           {"relative", "absolute"},
           "whether l2 is in mean squared lengths of the keys within the free directions"},
          {"l2", number, 0.1, 0, 1e9, {}, "how much the size of the change weighs against meeting the values"}});
  method.make = make;
  return method;
}

}  // namespace retune
