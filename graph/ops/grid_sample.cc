// GridSample (16, 20, 22): x [N, C, spatial...] read at the positions that grid [N, out..., r] names, r axes in [-1,
// 1], the last axis of x first; and AffineGrid (20), which makes such grids, as a body.
//
//   y[n, c, p] = sum over taps t of  prod over axes a of w_a(t_a)  x[n, c, i_1(t_1), ..., i_r(t_r)]
//
// `linear` has two taps an axis, `cubic` four (Keys 1981 with a = -0.75), `nearest` one. Taps outside the image are 0
// (zeros), the nearest pixel (border), or the mirror image (reflection), taken pixel by pixel. With align_corners -1
// and 1 are the centres of the first and last pixel, else their outer edges.
//
// The gradient is the private operator GridSampleGrad(x, grid, g) -> (dx, dgrid): the taps' adjoint, and the same sums
// with one weight's derivative in the place of the weight. A grid has no slope where `nearest` or a pixel is chosen.
#include <algorithm>
#include <array>
#include <cmath>

#include "graph/ops/body.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"

namespace retune {

namespace {

constexpr int kMostAxes = 3;
constexpr double kCubicA = -0.75;

enum class Padding { kZeros, kBorder, kReflection };

struct Sampling {
  int rank = 2, taps = 2;  // spatial axes of x; taps along each
  Padding padding = Padding::kZeros;
  bool align_corners = false;
  std::int64_t images = 0, channels = 0, pixels = 0, points = 0;  // pixels and points of one plane
  std::array<std::int64_t, kMostAxes> extents{}, strides{};

  std::int64_t combinations() const {
    std::int64_t count = 1;
    for (int axis = 0; axis < rank; ++axis) count *= taps;
    return count;
  }
};

Sampling sampling_of(const Attributes& a, const Shape& x, const Shape& grid) {
  Sampling s;
  s.rank = x.rank() - 2;
  if (s.rank < 1 || s.rank > kMostAxes || grid.rank() != x.rank() || grid.back() != s.rank || grid[0] != x[0])
    throw user_error("x {} must be [N, C] and one to three spatial axes, and grid {} [N, ..., {}]", x.text(),
                     grid.text(), s.rank);
  const std::string mode = a.s("mode", "linear");
  if (mode == "linear" || mode == "bilinear")
    s.taps = 2;
  else if (mode == "cubic" || mode == "bicubic")
    s.taps = 4;
  else if (mode == "nearest")
    s.taps = 1;
  else
    throw user_error("mode is '{}', expected linear, nearest or cubic", mode);
  const std::string padding = a.s("padding_mode", "zeros");
  if (padding != "zeros" && padding != "border" && padding != "reflection")
    throw user_error("padding_mode is '{}', expected zeros, border or reflection", padding);
  s.padding = padding == "zeros" ? Padding::kZeros : padding == "border" ? Padding::kBorder : Padding::kReflection;
  s.align_corners = a.i("align_corners", 0) != 0;
  s.images = x[0];
  s.channels = x[1];
  s.pixels = x.product(2, x.rank());
  s.points = grid.product(1, grid.rank() - 1);
  std::int64_t stride = 1;
  for (int axis = s.rank - 1; axis >= 0; --axis) {
    s.extents[static_cast<std::size_t>(axis)] = x[axis + 2];
    s.strides[static_cast<std::size_t>(axis)] = stride;
    stride *= x[axis + 2];
  }
  return s;
}

// A pixel of an axis for any integer; -1 where there is none.
std::int64_t pixel(const Sampling& s, double at, std::int64_t extent) {
  const auto last = static_cast<double>(extent - 1);
  if (at >= 0 && at <= last) return static_cast<std::int64_t>(at);
  if (s.padding == Padding::kZeros || extent == 0 || !std::isfinite(at)) return -1;
  if (s.padding == Padding::kBorder) return at < 0 ? 0 : extent - 1;
  // Mirrored at the first and last centre, or at the outer edges half a pixel further.
  const double low = s.align_corners ? 0 : -0.5, length = s.align_corners ? last : last + 1;
  if (length == 0) return 0;
  const double from = std::fabs(at - low), turns = std::floor(from / length), rest = from - turns * length;
  const double mirrored = std::fmod(turns, 2) == 0 ? low + rest : low + length - rest;
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(std::nearbyint(mirrored)), 0, extent - 1);
}

double cubic_weight(double d) {
  d = std::fabs(d);
  if (d <= 1) return ((kCubicA + 2) * d - (kCubicA + 3)) * d * d + 1;
  return ((kCubicA * d - 5 * kCubicA) * d + 8 * kCubicA) * d - 4 * kCubicA;
}

// Of the weight at distance d = tap - x, by d.
double cubic_slope(double d) {
  const double sign = d < 0 ? -1 : 1;
  d = std::fabs(d);
  if (d <= 1) return sign * (3 * (kCubicA + 2) * d - 2 * (kCubicA + 3)) * d;
  return sign * ((3 * kCubicA * d - 10 * kCubicA) * d + 8 * kCubicA);
}

// The taps of one point along one axis.
struct AxisTaps {
  std::array<std::int64_t, 4> pixels{};       // times the axis' stride; -1: none
  std::array<double, 4> weights{}, slopes{};  // slopes by the grid's number
};

AxisTaps taps_at(const Sampling& s, std::size_t axis, double normal) {
  const auto extent = static_cast<double>(s.extents[axis]);
  const double by = s.align_corners ? (extent - 1) / 2 : extent / 2;
  const double x = s.align_corners ? (normal + 1) * by : (normal + 1) * by - 0.5;
  AxisTaps taps;
  const double first = s.taps == 1 ? std::nearbyint(x) : std::floor(x) - (s.taps == 4 ? 1 : 0);
  for (int t = 0; t < s.taps; ++t) {
    const auto i = static_cast<std::size_t>(t);
    const double at = first + t, d = at - x;
    const std::int64_t chosen = pixel(s, at, s.extents[axis]);
    taps.pixels[i] = chosen < 0 ? -1 : chosen * s.strides[axis];
    taps.weights[i] = s.taps == 1 ? 1 : s.taps == 2 ? 1 - std::fabs(d) : cubic_weight(d);
    taps.slopes[i] = s.taps == 1 ? 0 : by * (s.taps == 2 ? (t == 0 ? -1.0 : 1.0) : -cubic_slope(d));
  }
  return taps;
}

using PointTaps = std::array<AxisTaps, kMostAxes>;

template <class T>
PointTaps point_taps(const Sampling& s, const T* point) {
  PointTaps taps;
  for (int axis = 0; axis < s.rank; ++axis)
    taps[static_cast<std::size_t>(axis)] =
        taps_at(s, static_cast<std::size_t>(axis), static_cast<double>(point[s.rank - 1 - axis]));
  return taps;
}

// Calls f(pixel, weight) for the taps inside the image; with `by` in [0, rank) the weight's slope along that axis.
template <class F>
void for_each_tap(const Sampling& s, const PointTaps& taps, int by, F&& f) {
  for (std::int64_t combination = 0; combination < s.combinations(); ++combination) {
    std::int64_t rest = combination, at = 0;
    double weight = 1;
    bool inside = true;
    for (int axis = s.rank - 1; axis >= 0 && inside; --axis) {
      const AxisTaps& own = taps[static_cast<std::size_t>(axis)];
      const auto t = static_cast<std::size_t>(rest % s.taps);
      rest /= s.taps;
      inside = own.pixels[t] >= 0;
      at += own.pixels[t];
      weight *= axis == by ? own.slopes[t] : own.weights[t];
    }
    if (inside) f(at, weight);
  }
}

void infer_grid_sample(InferContext& c) {
  require_inputs(c, 2);
  if (!is_float(c.dtype(1))) throw user_error("the grid has type {}, expected a float type", dtype_name(c.dtype(1)));
  require_float(c, 0);
  const Sampling s = sampling_of(c.attributes(), c.shape(0), c.shape(1));
  std::vector<std::int64_t> extents{s.images, s.channels};
  extents.insert(extents.end(), c.shape(1).begin() + 1, c.shape(1).end() - 1);
  c.set(0, c.dtype(0), Shape(std::move(extents)));
}

std::int64_t points_per_chunk(const Sampling& s) {
  return std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(s.combinations() * s.channels, 1));
}

void grid_sample_forward(ForwardContext& c) {
  const Sampling s = sampling_of(c.attributes(), c.in(0).shape(), c.in(1).shape());
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const Tensor positions = c.in(1).cast(c.in(0).dtype());
    const T *x = c.in(0).data<T>(), *grid = positions.data<T>();
    T* y = c.out(0).mutable_data<T>();
    c.pool().parallel_for(s.images * s.points, points_per_chunk(s), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t n = i / s.points, point = i % s.points;
        const PointTaps taps = point_taps(s, grid + i * s.rank);
        for (std::int64_t channel = 0; channel < s.channels; ++channel) {
          const T* image = x + (n * s.channels + channel) * s.pixels;
          T sum{0};
          for_each_tap(s, taps, -1, [&](std::int64_t at, double weight) { sum += static_cast<T>(weight) * image[at]; });
          y[(n * s.channels + channel) * s.points + point] = sum;
        }
      }
    });
  });
}

void infer_grid_sample_grad(InferContext& c) {
  c.set(0, c.dtype(0), c.shape(0));
  c.set(1, c.dtype(1), c.shape(1));
}

template <class T>
void add_image_gradient(ForwardContext& c, const Sampling& s, const T* grid, const T* g, T* dx) {
  const std::int64_t work = std::max<std::int64_t>(s.points * s.combinations(), 1);
  c.pool().parallel_for(s.images * s.channels, std::max<std::int64_t>(1, kElementGrain / work),
                        [&](std::int64_t begin, std::int64_t end) {
                          for (std::int64_t plane = begin; plane < end; ++plane) {
                            T* image = dx + plane * s.pixels;
                            std::fill(image, image + s.pixels, T{0});
                            for (std::int64_t point = 0; point < s.points; ++point) {
                              const std::int64_t i = plane / s.channels * s.points + point;
                              const T slope = g[plane * s.points + point];
                              for_each_tap(
                                  s, point_taps(s, grid + i * s.rank), -1,
                                  [&](std::int64_t at, double weight) { image[at] += static_cast<T>(weight) * slope; });
                            }
                          }
                        });
}

template <class T>
void grid_gradient(ForwardContext& c, const Sampling& s, const T* x, const T* grid, const T* g, T* dgrid) {
  c.pool().parallel_for(s.images * s.points, points_per_chunk(s), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t n = i / s.points, point = i % s.points;
      const PointTaps taps = point_taps(s, grid + i * s.rank);
      for (int axis = 0; axis < s.rank; ++axis) {
        T sum{0};
        for (std::int64_t channel = 0; channel < s.channels; ++channel) {
          const std::int64_t plane = n * s.channels + channel;
          for_each_tap(s, taps, axis, [&](std::int64_t at, double weight) {
            sum += static_cast<T>(weight) * x[plane * s.pixels + at] * g[plane * s.points + point];
          });
        }
        dgrid[i * s.rank + s.rank - 1 - axis] = sum;
      }
    }
  });
}

void grid_sample_grad_forward(ForwardContext& c) {
  const Sampling s = sampling_of(c.attributes(), c.in(0).shape(), c.in(1).shape());
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const Tensor positions = c.in(1).cast(c.in(0).dtype());
    const T *x = c.in(0).data<T>(), *grid = positions.data<T>(), *g = c.in(2).data<T>();
    if (c.wants(0)) add_image_gradient(c, s, grid, g, c.out(0).mutable_data<T>());
    if (!c.wants(1)) return;
    Tensor dgrid = Tensor::empty(c.in(0).dtype(), c.in(1).shape());
    grid_gradient(c, s, x, grid, g, dgrid.mutable_data<T>());
    c.set_out(1, dgrid.cast(c.out_type(1).dtype));
  });
}

void grid_sample_vjp(VjpContext& c) {
  const auto gradients =
      c.builder().private_ops("GridSampleGrad", {c.in(0), c.in(1), c.cotangent()}, c.attributes(), 2);
  for (const int i : {0, 1})
    if (c.wants(i)) c.give(i, gradients[static_cast<std::size_t>(i)]);
}

// AffineGrid: theta [N, r, r + 1] and size [N, C, extents...] to [N, extents..., r]: theta (x, y, ..., 1).
Graph affine_grid_body(const InferContext& c) {
  require_inputs(c, 2);
  require_float(c, 0);
  const std::vector<std::int64_t> size = c.require_constant(1).to_i64();
  const auto rank = static_cast<std::int64_t>(size.size()) - 2;
  if (rank < 2 || rank > kMostAxes || !(c.shape(0) == Shape{size[0], rank, rank + 1}))
    throw user_error("theta {} does not fit size of {} extents", c.shape(0).text(), size.size());
  const Shape extents(std::vector<std::int64_t>(size.begin() + 2, size.end()));
  const bool align = c.attributes().i("align_corners", 0) != 0;
  Tensor points = Tensor::empty(DType::kF64, {extents.numel(), rank + 1});
  for (std::int64_t i = 0; i < extents.numel(); ++i) {
    std::int64_t rest = i;
    double* point = points.mutable_data<double>() + i * (rank + 1);
    for (int axis = extents.rank() - 1; axis >= 0; --axis) {
      const auto at = static_cast<double>(rest % extents[axis]), extent = static_cast<double>(extents[axis]);
      rest /= extents[axis];
      point[rank - 1 - axis] = align ? (extent == 1 ? 0 : 2 * at / (extent - 1) - 1) : (2 * at + 1) / extent - 1;
    }
    point[rank] = 1;
  }
  Body body(c);
  GraphBuilder& b = body.builder();
  const ValueId grid = b.matmul(b.constant(points.cast(c.dtype(0))), body.in(0), GraphBuilder::Swap::kNone,
                                GraphBuilder::Swap::kLastTwo);
  std::vector<std::int64_t> shape{size[0]};
  shape.insert(shape.end(), extents.begin(), extents.end());
  shape.push_back(rank);
  return body.finish({b.reshape(grid, Shape(shape))});
}

}  // namespace

std::vector<Op> grid_sample_ops() {
  return {{.domain = "",
           .name = "GridSample",
           .since = 16,
           .infer = infer_grid_sample,
           .forward = grid_sample_forward,
           .vjp = grid_sample_vjp},
          {.domain = "retune",
           .name = "GridSampleGrad",
           .infer = infer_grid_sample_grad,
           .forward = grid_sample_grad_forward,
           .no_vjp = kIsGradient},
          {.domain = "", .name = "AffineGrid", .since = 20, .body = affine_grid_body}};
}

}  // namespace retune
