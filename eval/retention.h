// Sequential editing: what earlier edits keep while later ones are made (methods.md 8.8).
//
// R[i][j] is the score of edit j after edit i (1 <= j, i <= n), R0[j] before any edit. Cells that were not asked are
// NaN and left out of means; a quantity that needs a missing cell is absent.
#pragma once

#include <optional>
#include <span>
#include <vector>

namespace retune {

class RetentionMatrix {
 public:
  explicit RetentionMatrix(int edits);  // all NaN; edits >= 1

  int edits() const { return edits_; }
  // after = 0 is R0; after and edit count from 1. i = j - 1 is allowed: the edit's probes just before it is made.
  double at(int after, int edit) const;
  void set(int after, int edit, double score);

 private:
  int edits_;
  std::vector<double> cells_;  // [edits + 1, edits], row `after`
};

struct MeanOf {
  double value = 0;
  int count = 0;  // edits averaged over
};

// Functions of all sequences together: the mean runs over every (sequence, j) that has the cells.

// Retention(g) = mean_j R[j+g][j]; absent if no edit has gap g. Different gaps average different edits.
std::optional<MeanOf> retention(std::span<const RetentionMatrix> sequences, int gap);
// Retention(0) - Retention(g).
std::optional<double> forgetting_at(std::span<const RetentionMatrix> sequences, int gap);
// Area under the retention curve by trapezia from gap 0 to `gaps`, divided by `gaps`; SAKE's is gaps = 5.
std::optional<double> retention_auc(std::span<const RetentionMatrix> sequences, int gaps);
// F = mean over j < n of max_{j<=i<n} R[i][j] - R[n][j].
std::optional<MeanOf> forgetting(std::span<const RetentionMatrix> sequences);
// BWT = mean over j < n of R[n][j] - R[j][j].
std::optional<MeanOf> backward_transfer(std::span<const RetentionMatrix> sequences);
// FWT = mean over j >= 2 of R[j-1][j] - R0[j].
std::optional<MeanOf> forward_transfer(std::span<const RetentionMatrix> sequences);
// Smallest g with Retention(g) <= Retention(0)/2. Absent: never within the gaps asked, or Retention(0) is 0 or missing.
std::optional<int> half_life(std::span<const RetentionMatrix> sequences);

}  // namespace retune
