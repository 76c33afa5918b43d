#include "editors/mechanisms/second_moment.h"

#include <cblas.h>

#include <algorithm>

#include "tensor/error.h"
#include "tensor/linear_algebra.h"

namespace retune {

namespace {

constexpr std::int64_t kTile = 64;  // columns of the Gram matrix a task
constexpr const char* kClassNames[kTokenClasses] = {"text", "audio_slot", "template", "answer"};

std::size_t packed_size(std::int64_t width) { return static_cast<std::size_t>(width * (width + 1) / 2); }
// Of element (row, row) in the upper triangle, row by row.
std::int64_t packed_row(std::int64_t width, std::int64_t row) { return row * width - row * (row - 1) / 2; }

// X^T X of X [rows, width], upper triangle. Tiles are cut by the width alone.
std::vector<double> gram(const std::vector<double>& keys, std::int64_t rows, std::int64_t width, ThreadPool& pool) {
  single_thread_blas();
  std::vector<double> packed(packed_size(width));
  pool.parallel_for((width + kTile - 1) / kTile, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t tile = first; tile < last; ++tile) {
      const std::int64_t begin = tile * kTile, end = std::min(begin + kTile, width), columns = width - begin;
      std::vector<double> product(static_cast<std::size_t>((end - begin) * columns));
      cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, static_cast<int>(end - begin), static_cast<int>(columns),
                  static_cast<int>(rows), 1.0, keys.data() + begin, static_cast<int>(width), keys.data() + begin,
                  static_cast<int>(width), 0.0, product.data(), static_cast<int>(columns));
      for (std::int64_t i = begin; i < end; ++i)
        std::copy_n(product.data() + (i - begin) * columns + (i - begin), width - i,
                    packed.data() + packed_row(width, i));
    }
  });
  return packed;
}

// One block: keys of up to kBlockTokens tokens.
ClassSums block_sums(std::span<const float> keys, std::span<const TokenClass> classes, std::int64_t width,
                     ThreadPool& pool) {
  ClassSums sums;
  for (std::size_t c = 0; c < kTokenClasses; ++c) {
    std::vector<double> chosen;
    for (std::size_t row = 0; row < classes.size(); ++row)
      if (classes[row] == static_cast<TokenClass>(c)) {
        const auto begin = keys.begin() + static_cast<std::ptrdiff_t>(row) * width;
        chosen.insert(chosen.end(), begin, begin + width);
      }
    sums[c].tokens = static_cast<std::int64_t>(chosen.size()) / width;
    if (sums[c].tokens > 0) sums[c].sum = gram(chosen, sums[c].tokens, width, pool);
  }
  return sums;
}

// left + right, element by element.
void add_to(ClassSums& left, const ClassSums& right) {
  for (std::size_t c = 0; c < kTokenClasses; ++c) {
    left[c].tokens += right[c].tokens;
    if (left[c].sum.empty())
      left[c].sum = right[c].sum;
    else
      for (std::size_t i = 0; i < right[c].sum.size(); ++i) left[c].sum[i] += right[c].sum[i];
  }
}

}  // namespace

std::string_view token_class_name(TokenClass token_class) { return kClassNames[static_cast<std::size_t>(token_class)]; }

TokenClass token_class_from_name(const std::string& name) {
  for (std::size_t c = 0; c < kTokenClasses; ++c)
    if (name == kClassNames[c]) return static_cast<TokenClass>(c);
  throw user_error("there is no token class '{}'; there are {}", name, fmt::join(kClassNames, ", "));
}

void MomentAccumulator::add(std::span<const float> keys, std::span<const TokenClass> classes, ThreadPool& pool) {
  if (static_cast<std::int64_t>(keys.size()) != static_cast<std::int64_t>(classes.size()) * width_)
    throw user_error("second moment: {} keys of width {} for {} tokens", keys.size(), width_, classes.size());
  std::size_t taken = 0;
  while (taken < classes.size()) {
    const std::size_t room = static_cast<std::size_t>(kBlockTokens) - state_.classes.size();
    const std::size_t count = std::min(room, classes.size() - taken);
    const auto first = keys.begin() + static_cast<std::ptrdiff_t>(taken) * width_;
    state_.keys.insert(state_.keys.end(), first, first + static_cast<std::ptrdiff_t>(count) * width_);
    state_.classes.insert(state_.classes.end(), classes.begin() + static_cast<std::ptrdiff_t>(taken),
                          classes.begin() + static_cast<std::ptrdiff_t>(taken + count));
    taken += count;
    if (state_.classes.size() < static_cast<std::size_t>(kBlockTokens)) return;
    Subtree tree{0, block_sums(state_.keys, state_.classes, width_, pool)};
    state_.keys.clear();
    state_.classes.clear();
    // As a binary counter carries: two complete subtrees of one size are one of twice the size.
    while (!state_.subtrees.empty() && state_.subtrees.back().level == tree.level) {
      add_to(state_.subtrees.back().sums, tree.sums);
      tree = {tree.level + 1, std::move(state_.subtrees.back().sums)};
      state_.subtrees.pop_back();
    }
    state_.subtrees.push_back(std::move(tree));
  }
}

ClassSums MomentAccumulator::sums(ThreadPool& pool) const {
  ClassSums total;
  if (!state_.classes.empty()) total = block_sums(state_.keys, state_.classes, width_, pool);
  for (auto tree = state_.subtrees.rbegin(); tree != state_.subtrees.rend(); ++tree) {
    ClassSums sum = tree->sums;
    add_to(sum, total);
    total = std::move(sum);
  }
  return total;
}

std::int64_t SecondMoment::tokens() const {
  std::int64_t total = 0;
  for (const ClassSum& item : classes) total += item.tokens;
  return total;
}

std::vector<double> SecondMoment::matrix(std::span<const TokenClass> of) const {
  std::vector<double> packed(packed_size(width), 0.0);
  std::int64_t count = 0;
  for (std::size_t c = 0; c < kTokenClasses; ++c) {
    if (!of.empty() && std::find(of.begin(), of.end(), static_cast<TokenClass>(c)) == of.end()) continue;
    count += classes[c].tokens;
    for (std::size_t i = 0; i < classes[c].sum.size(); ++i) packed[i] += classes[c].sum[i];
  }
  if (count == 0) throw user_error("the second moment of {} has no tokens of the classes asked for", identity.site);
  std::vector<double> full(static_cast<std::size_t>(width * width));
  for (std::int64_t i = 0; i < width; ++i)
    for (std::int64_t j = i; j < width; ++j) {
      const double mean = packed[static_cast<std::size_t>(packed_row(width, i) + j - i)] / static_cast<double>(count);
      full[static_cast<std::size_t>(i * width + j)] = mean;
      full[static_cast<std::size_t>(j * width + i)] = mean;
    }
  return full;
}

std::vector<double> SecondMoment::solve(std::span<const double> b, std::int64_t columns, std::span<const TokenClass> of,
                                        double ridge) const {
  return ridge_solve(matrix(of), width, b, columns, ridge);
}

SecondMoment merge(const SecondMoment& a, const SecondMoment& b) {
  if (a.identity.site != b.identity.site || a.identity.model != b.identity.model ||
      a.identity.settings != b.identity.settings || a.width != b.width)
    throw user_error(
        "second moments of '{}' (width {}) and '{}' (width {}) do not belong together: site, model and settings must "
        "be the same",
        a.identity.site, a.width, b.identity.site, b.width);
  SecondMoment merged = a;
  add_to(merged.classes, b.classes);
  const auto [low, high] = std::minmax(a.identity.corpus, b.identity.corpus);
  merged.identity.corpus = Hasher().add(low).add(high).finish();
  return merged;
}

}  // namespace retune
