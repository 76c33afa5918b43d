#include "training/synth/split.h"

#include <algorithm>
#include <vector>

#include "tensor/error.h"

namespace retune::synth {

namespace {

constexpr int kCells = 50;
// Test and validation cells lie apart, so that a value unseen in training is never far from the nearest training cell.
constexpr std::array<Split, 10> kCellOwners{Split::kTrain, Split::kTest, Split::kTrain, Split::kTrain, Split::kTest,
                                            Split::kTrain, Split::kVal,  Split::kTrain, Split::kTest,  Split::kTrain};

}  // namespace

std::string_view split_name(Split split) {
  switch (split) {
    case Split::kTrain:
      return "train";
    case Split::kVal:
      return "val";
    case Split::kTest:
      return "test";
  }
  return "";
}

Split cell_split(long cell) { return kCellOwners[static_cast<std::size_t>(cell % 10)]; }

double draw(Range range, Split split, Rng& rng) {
  std::array<int, kCells> owned{};
  std::uint64_t count = 0;
  for (int cell = 0; cell < kCells; ++cell) {
    if (cell_split(cell) == split) owned[count++] = cell;
  }
  const double position = owned[rng.below(count)] + rng.uniform();
  return range.low + (range.high - range.low) * position / kCells;
}

int draw_integer(int low, int high, Split split, Rng& rng) {
  std::vector<int> owned;
  for (int value = low; value <= high; ++value) {
    if (cell_split(value) == split) owned.push_back(value);
  }
  if (owned.empty()) {
    throw failure("synthesis range {}..{} has no value of the {} split; widen it to ten values", low, high,
                  split_name(split));
  }
  return rng.choose(owned);
}

}  // namespace retune::synth
