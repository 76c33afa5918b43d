// What MEMIT, AlphaEdit and EMMET share (methods.md 5.8; Meng et al. 2023, arXiv 2210.07229): a batch of requests is
// written into the layers l_1 < .. < l_n that write to the residual stream.
//
//   z_i = h_n + delta_i                     the residual stream after the last of them at the subject of request i, on
//   the
//                                           model at entry
//   in ascending order, at layer j = 0 .. n-1 of the model with the layers before it edited:
//     r_i = (z_i - h_n) / (n - j)           what is still missing, shared among the layers that are left
//     k_i                                   mean over the contexts of the layer's input at the subject
//     W <- W + R X^T                        R = [r_1 ..], X found from K = [k_1 ..] by the method
//
// The changed model is a view on stacked patches; what is returned is one patch on the model at entry.
#pragma once

#include <string>
#include <vector>

#include "editors/editor.h"
#include "tensor/matrix.h"

namespace retune {

class SpreadEditor : public Editor {
 public:
  SpreadEditor(EditorInfo info, Settings settings) : info_(std::move(info)), settings_(std::move(settings)) {}
  const EditorInfo& info() const override { return info_; }
  const Settings& settings() const override { return settings_; }

  // In ascending order: setting 'site' and the blocks before it, 'layers' in all; fewer where the model begins.
  std::vector<Site> sites(const Bundle& bundle) const override;
  // With the second moments of the sites.
  Prepared prepare(Session& session, const Bundle& bundle, const Corpus* corpus,
                   const StepObserver& observer) const override;
  // Notes: "loss" (mean over the requests, a value a step), "updates", "target_norm", "start_norm" (a value a request),
  // "missing" (mean norm of z - h before each layer, and after the last), "update_norm" (a value a layer).
  Patch edit(Session& session, const Bundle& bundle, std::span<const EditRequest> requests, const Prepared& prepared,
             Rng rng, const StepObserver& observer) const override;

 protected:
  // X [in, N] for keys [in, N] of a site of the bundle at entry; may add notes to the patch.
  virtual Matrix solve(const Bundle& bundle, const Prepared& prepared, const Site& site, const Matrix& keys,
                       Patch& patch) const = 0;
  // What the patch must remember of a site whose keys these are. They are those of the finished edit: a layer's keys
  // depend on the layers before it alone.
  virtual void remember(const Site& site, const Matrix& keys, Patch& patch) const;

  double number(const char* setting) const { return settings_.at(setting).get<double>(); }
  std::string text(const char* setting) const { return settings_.at(setting).get<std::string>(); }

 private:
  EditorInfo info_;
  Settings settings_;
};

// The settings that these methods share: where and how many layers, then those of `own`, then second moment, target
// vector and contexts.
std::vector<Setting> spread_settings(std::int64_t layers, std::vector<Setting> own);

// The mean over the columns of ||k||^2 / k: what a multiple of the identity must be to stand for the second moment of
// these keys.
double mean_square(const Matrix& keys);

}  // namespace retune
