// Sequential editing: what earlier edits keep while later ones are made (methods.md 8.8).
//
// R[i][j] is the score of edit j after edit i (1 <= j, i <= n), R0[j] before any edit. Cells that were not asked are
// left out of means; a quantity that needs a missing cell is absent.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <vector>

namespace retune {

class RetentionMatrix {
 public:
  // A row of cells by the number of edits applied, 0 being R0.
  using Row = std::map<int, double>;

  // `after` = 0 sets R0; `edit` counts from 1. after = edit - 1 is allowed: the edit's probes just before it is made.
  void set(int after, int edit, double score);
  std::optional<double> at(int after, int edit) const;

  // n: the largest `after` or `edit` set.
  int edits() const { return edits_; }
  const std::map<int, Row>& rows() const { return rows_; }  // by edit; only what was set

 private:
  int edits_ = 0;
  std::map<int, Row> rows_;
};

struct MeanOf {
  double value = 0;
  int count = 0;  // edits averaged over
};

// Functions of all sequences together: the mean runs over every (sequence, j) that has the cells.

// The gaps 0, 1, ... for which some edit was asked, ascending.
std::vector<int> asked_gaps(std::span<const RetentionMatrix> sequences);
// Retention(g) = mean_j R[j+g][j]; absent if no edit was asked at gap g. Different gaps average different edits.
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
// Smallest g asked with Retention(g) <= Retention(0)/2. Absent: never within the gaps asked, or Retention(0) is 0 or
// missing.
std::optional<int> half_life(std::span<const RetentionMatrix> sequences);

}  // namespace retune
