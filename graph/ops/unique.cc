// Unique (11): the different elements, or the different slices along `axis`, in order of value (sorted = 1) or of their
// first appearance; with the position of each one's first appearance, each input's place among them, and counts.
//
// How many there are depends on the values, so the input must be known while planning. NaNs count as equal and last.
#include <algorithm>
#include <numeric>

#include "graph/ops/families.h"
#include "graph/ops/kernel.h"

namespace retune {

namespace {

using Ints = std::vector<std::int64_t>;

struct Slices {
  std::int64_t outer = 1, count = 1, inner = 1;
};

Slices slices_of(const Attributes& attributes, const Shape& x) {
  if (!attributes.has("axis")) return {1, x.numel(), 1};
  const int axis = normalize_axis(attributes.i("axis", 0), x.rank());
  return {x.product(0, axis), x[axis], x.product(axis + 1, x.rank())};
}

struct Found {
  Ints first, inverse, counts;
};

// -1, 0 or 1.
template <class T>
int order(T a, T b) {
  if (a < b) return -1;
  if (b < a) return 1;
  return (a != a) - (b != b);  // NaN
}

template <class T>
Found find(const Slices& s, const T* x, bool sorted) {
  const auto compare = [&](std::int64_t a, std::int64_t b) {
    for (std::int64_t outer = 0; outer < s.outer; ++outer)
      for (std::int64_t inner = 0; inner < s.inner; ++inner) {
        const std::int64_t base = outer * s.count * s.inner + inner;
        if (const int sign = order(x[base + a * s.inner], x[base + b * s.inner])) return sign;
      }
    return 0;
  };
  Ints by_value(static_cast<std::size_t>(s.count));
  std::iota(by_value.begin(), by_value.end(), 0);
  std::stable_sort(by_value.begin(), by_value.end(), [&](std::int64_t a, std::int64_t b) { return compare(a, b) < 0; });
  // Groups of equal slices, in order of value; the first of each is its first appearance.
  Found found;
  found.inverse.resize(by_value.size());
  for (std::size_t i = 0; i < by_value.size(); ++i) {
    if (i == 0 || compare(by_value[i - 1], by_value[i]) != 0) {
      found.first.push_back(by_value[i]);
      found.counts.push_back(0);
    }
    ++found.counts.back();
    found.inverse[static_cast<std::size_t>(by_value[i])] = static_cast<std::int64_t>(found.first.size()) - 1;
  }
  if (sorted) return found;
  Ints place(found.first.size()), rank(found.first.size());
  std::iota(place.begin(), place.end(), 0);
  std::sort(place.begin(), place.end(), [&](std::int64_t a, std::int64_t b) {
    return found.first[static_cast<std::size_t>(a)] < found.first[static_cast<std::size_t>(b)];
  });
  Found ordered;
  for (std::size_t i = 0; i < place.size(); ++i) {
    const auto from = static_cast<std::size_t>(place[i]);
    rank[from] = static_cast<std::int64_t>(i);
    ordered.first.push_back(found.first[from]);
    ordered.counts.push_back(found.counts[from]);
  }
  for (const std::int64_t group : found.inverse) ordered.inverse.push_back(rank[static_cast<std::size_t>(group)]);
  return ordered;
}

Found find(const Attributes& attributes, const Tensor& x) {
  const Slices s = slices_of(attributes, x.shape());
  const bool sorted = attributes.i("sorted", 1) != 0;
  const Tensor numbers = x.dtype() == DType::kBool ? x.cast(DType::kU8) : is_half(x.dtype()) ? x.cast(DType::kF32) : x;
  Found found;
  visit_number(numbers.dtype(), [&]<class T>(T) { found = find(s, numbers.data<T>(), sorted); });
  return found;
}

void infer_unique(InferContext& c) {
  require_inputs(c, 1);
  const auto count = static_cast<std::int64_t>(find(c.attributes(), c.require_constant(0)).first.size());
  if (c.attributes().has("axis")) {
    Ints extents = c.shape(0).extents();
    extents[static_cast<std::size_t>(normalize_axis(c.attributes().i("axis", 0), c.shape(0).rank()))] = count;
    c.set(0, c.dtype(0), Shape(std::move(extents)));
  } else {
    c.set(0, c.dtype(0), {count});
  }
  c.set(1, DType::kI64, {count});
  c.set(2, DType::kI64, {slices_of(c.attributes(), c.shape(0)).count});
  c.set(3, DType::kI64, {count});
}

void unique_forward(ForwardContext& c) {
  const Tensor& x = c.in(0);
  const Slices s = slices_of(c.attributes(), x.shape());
  const Found found = find(c.attributes(), x);
  visit_width(x.dtype(), [&]<class U>(U) {
    const U* from = words<U>(x);
    U* to = mutable_words<U>(c.out(0));
    for (std::int64_t outer = 0; outer < s.outer; ++outer)
      for (const std::int64_t slice : found.first)
        to = std::copy_n(from + (outer * s.count + slice) * s.inner, s.inner, to);
  });
  const Ints* lists[] = {&found.first, &found.inverse, &found.counts};
  for (int i = 1; i <= 3; ++i)
    if (c.wants(i)) c.set_out(i, Tensor::vector(*lists[i - 1]));
}

}  // namespace

std::vector<Op> unique_ops() {
  return {{.domain = "",
           .name = "Unique",
           .since = 11,
           .infer = infer_unique,
           .forward = unique_forward,
           .no_vjp = "how many elements it has depends on their values",
           .takes_half = true}};
}

}  // namespace retune
