// The three splits, and how they stay apart: a range of a synthesis parameter is cut into narrow interleaved cells and
// every cell belongs to one split. All splits cover the whole range, but none draws a value that another could draw.
#pragma once

#include <array>
#include <string_view>

#include "tensor/rng.h"

namespace retune::synth {

enum class Split { kTrain, kVal, kTest };

inline constexpr std::array<Split, 3> kSplits{Split::kTrain, Split::kVal, Split::kTest};

// "train", "val" or "test".
std::string_view split_name(Split split);

// Of ten consecutive cells six belong to train, one to val and three to test. cell >= 0.
Split cell_split(long cell);

struct Range {
  double low;
  double high;
};

// Uniform over the cells of this split; the range is cut into 50 cells.
double draw(Range range, Split split, Rng& rng);
// The same for whole numbers: the number itself is the cell. Throws a failure if no number in [low, high] is of this
// split.
int draw_integer(int low, int high, Split split, Rng& rng);

}  // namespace retune::synth
