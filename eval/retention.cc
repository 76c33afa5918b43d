#include "eval/retention.h"

#include <algorithm>
#include <functional>
#include <set>

namespace retune {
namespace {

// Mean of `term` over every edit of every sequence for which it has a value.
std::optional<MeanOf> mean_over_edits(
    std::span<const RetentionMatrix> sequences,
    const std::function<std::optional<double>(const RetentionMatrix&, int edit, const RetentionMatrix::Row&)>& term) {
  MeanOf mean;
  for (const RetentionMatrix& matrix : sequences) {
    for (const auto& [edit, row] : matrix.rows()) {
      const std::optional<double> value = term(matrix, edit, row);
      if (!value) continue;
      mean.value += *value;
      ++mean.count;
    }
  }
  if (mean.count == 0) return std::nullopt;
  mean.value /= mean.count;
  return mean;
}

std::optional<double> difference(std::optional<double> a, std::optional<double> b) {
  return a && b ? std::optional(*a - *b) : std::nullopt;
}

}  // namespace

void RetentionMatrix::set(int after, int edit, double score) {
  rows_[edit][after] = score;
  edits_ = std::max({edits_, after, edit});
}

std::optional<double> RetentionMatrix::at(int after, int edit) const {
  const auto row = rows_.find(edit);
  if (row == rows_.end()) return std::nullopt;
  const auto cell = row->second.find(after);
  return cell == row->second.end() ? std::nullopt : std::optional(cell->second);
}

std::vector<int> asked_gaps(std::span<const RetentionMatrix> sequences) {
  std::set<int> gaps;
  for (const RetentionMatrix& matrix : sequences) {
    for (const auto& [edit, row] : matrix.rows()) {
      for (const auto& [after, score] : row) {
        if (after >= edit) gaps.insert(after - edit);
      }
    }
  }
  return {gaps.begin(), gaps.end()};
}

std::optional<MeanOf> retention(std::span<const RetentionMatrix> sequences, int gap) {
  return mean_over_edits(sequences, [gap](const RetentionMatrix& matrix, int edit, const RetentionMatrix::Row&) {
    return matrix.at(edit + gap, edit);
  });
}

std::optional<double> forgetting_at(std::span<const RetentionMatrix> sequences, int gap) {
  const auto start = retention(sequences, 0);
  const auto later = retention(sequences, gap);
  return start && later ? std::optional(start->value - later->value) : std::nullopt;
}

std::optional<double> retention_auc(std::span<const RetentionMatrix> sequences, int gaps) {
  double area = 0;
  for (int gap = 0; gap < gaps; ++gap) {
    const auto left = retention(sequences, gap);
    const auto right = retention(sequences, gap + 1);
    if (!left || !right) return std::nullopt;
    area += (left->value + right->value) / 2;
  }
  return area / gaps;
}

std::optional<MeanOf> forgetting(std::span<const RetentionMatrix> sequences) {
  return mean_over_edits(
      sequences, [](const RetentionMatrix& matrix, int edit, const RetentionMatrix::Row& row) -> std::optional<double> {
        std::optional<double> best;
        for (const auto& [after, score] : row) {
          if (after >= edit && after < matrix.edits()) best = std::max(best.value_or(score), score);
        }
        return edit < matrix.edits() ? difference(best, matrix.at(matrix.edits(), edit)) : std::nullopt;
      });
}

std::optional<MeanOf> backward_transfer(std::span<const RetentionMatrix> sequences) {
  return mean_over_edits(sequences, [](const RetentionMatrix& matrix, int edit, const RetentionMatrix::Row&) {
    const int n = matrix.edits();
    return edit < n ? difference(matrix.at(n, edit), matrix.at(edit, edit)) : std::nullopt;
  });
}

std::optional<MeanOf> forward_transfer(std::span<const RetentionMatrix> sequences) {
  return mean_over_edits(sequences, [](const RetentionMatrix& matrix, int edit, const RetentionMatrix::Row&) {
    return edit >= 2 ? difference(matrix.at(edit - 1, edit), matrix.at(0, edit)) : std::nullopt;
  });
}

std::optional<int> half_life(std::span<const RetentionMatrix> sequences) {
  const auto start = retention(sequences, 0);
  if (!start || start->value <= 0) return std::nullopt;
  for (const int gap : asked_gaps(sequences)) {
    if (retention(sequences, gap)->value <= start->value / 2) return gap;
  }
  return std::nullopt;
}

}  // namespace retune
