// Resize (10, 11, 13, 18, 19) and Upsample (7, 9, 10): an image of any rank at another resolution.
//
// Every mode is separable, so a node is a chain of one-dimensional steps, an axis each: output o of an axis is a
// weighted sum of neighbours of the position x(o) that coordinate_transformation_mode gives. `nearest` has one
// neighbour, which is a Gather; `linear` and `cubic` are the private operator Interpolate with a table of positions and
// weights, which is linear, so that its gradient is its adjoint.
//
//   linear   1 - |d|                          cubic   Keys 1981, eq. 4, with cubic_coeff_a
//   antialias, where an axis shrinks: the same functions stretched by 1 / scale, normalised
//   exclude_outside: neighbours outside the image count nothing, and the others are normalised
//
// tf_crop_and_resize gives extrapolation_value where x(o) is outside the image.
#include <algorithm>
#include <cmath>

#include "graph/ops/body.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"

namespace retune {

namespace {

constexpr std::int64_t kLongest = std::int64_t{1} << 31;

struct Rule {
  std::string mode, coordinates, nearest;
  bool antialias = false, exclude_outside = false;
  double cubic_a = -0.75, extrapolation = 0;

  bool crops() const { return coordinates == "tf_crop_and_resize"; }
};

// One axis: extents, scale, and the part of the input that is read.
struct Axis {
  int axis = 0;
  std::int64_t from = 1, to = 1;
  double scale = 1, exact = 1, start = 0, end = 1;  // exact: the output's extent before it was rounded
};

Rule rule_of(const Node& node) {
  const Attributes& a = node.attributes;
  Rule rule;
  rule.mode = a.s("mode", "nearest");
  if (rule.mode == "bilinear" || rule.mode == "trilinear") rule.mode = "linear";
  if (rule.mode != "nearest" && rule.mode != "linear" && rule.mode != "cubic")
    throw user_error("mode is '{}', expected nearest, linear or cubic", rule.mode);
  const bool modern = node.op == "Resize" && node.version >= 11;
  rule.coordinates = modern ? a.s("coordinate_transformation_mode", "half_pixel") : "asymmetric";
  // Before version 11 nothing was said; runtimes round down, Resize up where it shrinks.
  rule.nearest = modern ? a.s("nearest_mode", "round_prefer_floor") : node.op == "Resize" ? "outwards" : "floor";
  rule.antialias = a.i("antialias", 0) != 0;
  rule.exclude_outside = a.i("exclude_outside", 0) != 0;
  rule.cubic_a = a.f("cubic_coeff_a", -0.75);
  rule.extrapolation = a.f("extrapolation_value", 0);
  return rule;
}

double position(const Rule& rule, const Axis& a, std::int64_t o) {
  const auto x = static_cast<double>(o), from = static_cast<double>(a.from), to = static_cast<double>(a.to);
  if (rule.coordinates == "half_pixel") return (x + 0.5) / a.scale - 0.5;
  if (rule.coordinates == "half_pixel_symmetric") return from / 2 * (1 - to / a.exact) + (x + 0.5) / a.scale - 0.5;
  if (rule.coordinates == "pytorch_half_pixel") return a.to > 1 ? (x + 0.5) / a.scale - 0.5 : 0;
  if (rule.coordinates == "asymmetric") return x / a.scale;
  if (rule.coordinates == "align_corners") return a.exact == 1 ? 0 : x * (from - 1) / (a.exact - 1);
  if (!rule.crops()) throw user_error("coordinate_transformation_mode '{}' is unknown", rule.coordinates);
  if (a.exact == 1) return (a.start + a.end) / 2 * (from - 1);
  return a.start * (from - 1) + x * (a.end - a.start) * (from - 1) / (a.exact - 1);
}

std::int64_t nearest(const Rule& rule, const Axis& a, double x) {
  const std::string& mode = rule.nearest;
  double chosen;
  if (mode == "round_prefer_floor")
    chosen = std::ceil(x - 0.5);
  else if (mode == "round_prefer_ceil")
    chosen = std::floor(x + 0.5);
  else if (mode == "floor" || (mode == "outwards" && a.scale >= 1))
    chosen = std::floor(x);
  else if (mode == "ceil" || mode == "outwards")
    chosen = std::ceil(x);
  else
    throw user_error("nearest_mode '{}' is unknown", mode);
  return static_cast<std::int64_t>(std::clamp(chosen, 0.0, static_cast<double>(a.from - 1)));
}

double kernel_value(const Rule& rule, double distance) {
  const double d = std::fabs(distance), a = rule.cubic_a;
  if (rule.mode == "linear") return std::max(0.0, 1 - d);
  if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

// Neighbours and weights of every output, `width` each.
struct Taps {
  std::int64_t width = 0;
  std::vector<std::int64_t> positions{};
  std::vector<double> weights{};
};

Taps taps_of(const Rule& rule, const Axis& a) {
  const double stretch = rule.antialias ? std::min(a.scale, 1.0) : 1.0,
               reach = (rule.mode == "linear" ? 1 : 2) / stretch;
  if (!(reach < 1e6)) throw user_error("a scale of {} is too small for antialias", a.scale);
  const auto first = static_cast<std::int64_t>(std::floor(-reach)) + 1;
  Taps taps{.width = 2 - 2 * first};
  for (std::int64_t o = 0; o < a.to; ++o) {
    const double x = position(rule, a, o), below = std::floor(x);
    std::vector<double> weights;
    double sum = 0;
    for (std::int64_t i = 0; i < taps.width; ++i) {
      const double at = below + static_cast<double>(first + i);
      const bool outside = at < 0 || at > static_cast<double>(a.from - 1);
      weights.push_back(outside && rule.exclude_outside ? 0 : kernel_value(rule, (at - x) * stretch));
      sum += weights.back();
      taps.positions.push_back(static_cast<std::int64_t>(std::clamp(at, 0.0, static_cast<double>(a.from - 1))));
    }
    const bool normalise = (rule.exclude_outside || stretch < 1) && sum != 0;
    for (const double weight : weights) taps.weights.push_back(normalise ? weight / sum : weight);
  }
  return taps;
}

// --- Interpolate(x, positions [to, width], weights [to, width]) along `axis`, and its adjoint

struct Line {
  std::int64_t outer = 1, from = 1, inner = 1, to = 1, width = 1;
};

Line line_of(const Shape& x, int axis, const Shape& taps) {
  return {x.product(0, axis), x[axis], x.product(axis + 1, x.rank()), taps[0], taps[1]};
}

int axis_of(const Attributes& attributes) { return static_cast<int>(attributes.i("axis", 0)); }

void infer_interpolate(InferContext& c) {
  require_float(c, 0);
  std::vector<std::int64_t> extents = c.shape(0).extents();
  extents.at(static_cast<std::size_t>(axis_of(c.attributes()))) = c.shape(1)[0];
  c.set(0, c.dtype(0), Shape(std::move(extents)));
}

std::int64_t lines_per_chunk(std::int64_t work) {
  return std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(work, 1));
}

void interpolate_forward(ForwardContext& c) {
  const Line s = line_of(c.in(0).shape(), axis_of(c.attributes()), c.in(1).shape());
  const std::int64_t* at = c.in(1).data<std::int64_t>();
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const T *x = c.in(0).data<T>(), *weight = c.in(2).data<T>();
    T* y = c.out(0).mutable_data<T>();
    c.pool().parallel_for(s.outer * s.to, lines_per_chunk(s.width * s.inner),
                          [=](std::int64_t begin, std::int64_t end) {
                            for (std::int64_t i = begin; i < end; ++i) {
                              const T* image = x + i / s.to * s.from * s.inner;
                              T* row = y + i * s.inner;
                              std::fill(row, row + s.inner, T{0});
                              for (std::int64_t tap = i % s.to * s.width; tap < (i % s.to + 1) * s.width; ++tap) {
                                const T* source = image + at[tap] * s.inner;
                                const auto w = static_cast<T>(weight[tap]);
                                if (w == T{0}) continue;
                                for (std::int64_t k = 0; k < s.inner; ++k) row[k] += w * source[k];
                              }
                            }
                          });
  });
}

// Inputs g, positions, weights; attribute extent: that of x.
void infer_interpolate_grad(InferContext& c) {
  std::vector<std::int64_t> extents = c.shape(0).extents();
  extents.at(static_cast<std::size_t>(axis_of(c.attributes()))) = c.attributes().i("extent", 0);
  c.set(0, c.dtype(0), Shape(std::move(extents)));
}

void interpolate_grad_forward(ForwardContext& c) {
  const Line s = line_of(c.out_type(0).shape, axis_of(c.attributes()), c.in(1).shape());
  const std::int64_t* at = c.in(1).data<std::int64_t>();
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const T *g = c.in(0).data<T>(), *weight = c.in(2).data<T>();
    T* dx = c.out(0).mutable_data<T>();
    c.pool().parallel_for(s.outer, lines_per_chunk(s.to * s.width * s.inner),
                          [=](std::int64_t begin, std::int64_t end) {
                            for (std::int64_t i = begin; i < end; ++i) {
                              T* image = dx + i * s.from * s.inner;
                              std::fill(image, image + s.from * s.inner, T{0});
                              for (std::int64_t tap = 0; tap < s.to * s.width; ++tap) {
                                const T* row = g + (i * s.to + tap / s.width) * s.inner;
                                T* to = image + at[tap] * s.inner;
                                for (std::int64_t k = 0; k < s.inner; ++k) to[k] += weight[tap] * row[k];
                              }
                            }
                          });
  });
}

void interpolate_vjp(VjpContext& c) {
  if (!c.wants(0)) return;
  const int axis = axis_of(c.attributes());
  c.give(0, c.builder().private_op("InterpolateGrad", {c.cotangent(), c.in(1), c.in(2)},
                                   {{"axis", std::int64_t{axis}}, {"extent", c.shape(c.in(0))[axis]}}));
}

// --- The nodes

std::vector<double> floats_of(const InferContext& c, int input) {
  return c.has(input) && c.shape(input).numel() > 0 ? c.require_constant(input).to_f64() : std::vector<double>();
}

// The axes that are resized, with their scales and extents.
std::vector<Axis> axes_of(const InferContext& c, const Rule& rule) {
  const Shape& x = c.shape(0);
  const Attributes& a = c.attributes();
  const bool modern = c.node().op == "Resize" && c.version() >= 11;
  std::vector<double> scales = floats_of(c, modern ? 2 : 1);
  if (c.node().op == "Upsample" && c.version() < 9) scales = a.floats("scales");
  const std::vector<double> roi = modern && rule.crops() ? floats_of(c, 1) : std::vector<double>();
  std::vector<std::int64_t> sizes;
  if (modern && scales.empty() && c.has(3)) sizes = c.require_constant(3).to_i64();
  std::vector<Axis> axes;
  std::vector<std::int64_t> named = a.ints("axes");
  if (named.empty())
    for (int axis = 0; axis < x.rank(); ++axis) named.push_back(axis);
  const std::size_t count = named.size();
  if (scales.size() != count && sizes.size() != count)
    throw user_error("{} scales and {} sizes for {} axes", scales.size(), sizes.size(), count);
  if (rule.crops() && roi.size() != 2 * count)
    throw user_error("roi has {} numbers, expected {}", roi.size(), 2 * count);
  for (std::size_t i = 0; i < count; ++i) {
    Axis axis{.axis = normalize_axis(named[i], x.rank())};
    axis.from = x[axis.axis];
    axis.scale = !scales.empty()
                     ? scales[i]
                     : static_cast<double>(sizes[i]) / static_cast<double>(std::max<std::int64_t>(axis.from, 1));
    if (!(axis.scale > 0 && axis.scale < static_cast<double>(kLongest)) && !(sizes.size() == count && sizes[i] == 0))
      throw user_error("a scale of {} along axis {}; expected more than 0", axis.scale, axis.axis);
    axis.exact = scales.empty() ? static_cast<double>(sizes[i]) : axis.scale * static_cast<double>(axis.from);
    // Scales are f32, and so is their product in ONNX Runtime: ten pixels at a scale of 0.7 are seven.
    const double extent = std::floor(static_cast<float>(axis.from) * static_cast<float>(axis.scale));
    if (!(extent < static_cast<double>(kLongest)))
      throw user_error("axis {} would have {} elements", axis.axis, extent);
    axis.to = scales.empty() ? sizes[i] : static_cast<std::int64_t>(extent);
    if (!roi.empty()) {
      axis.start = roi[i];
      axis.end = roi[count + i];
    }
    axes.push_back(axis);
  }
  const std::string policy = a.s("keep_aspect_ratio_policy", "stretch");
  if (sizes.empty() || policy == "stretch") return axes;
  if (policy != "not_larger" && policy != "not_smaller")
    throw user_error("keep_aspect_ratio_policy '{}' is unknown", policy);
  const auto less = [](const Axis& l, const Axis& r) { return l.scale < r.scale; };
  const double scale = policy == "not_larger" ? std::min_element(axes.begin(), axes.end(), less)->scale
                                              : std::max_element(axes.begin(), axes.end(), less)->scale;
  for (Axis& axis : axes) {
    axis.scale = scale;
    axis.exact = scale * static_cast<double>(axis.from);
    axis.to = static_cast<std::int64_t>(std::floor(static_cast<double>(axis.from) * scale + 0.5));
  }
  return axes;
}

bool changes_nothing(const Rule& rule, const Axis& a) {
  return a.from == a.to && a.scale == 1 && !(rule.crops() && (a.start != 0 || a.end != 1));
}

ValueId resize_axis(GraphBuilder& b, ValueId x, const Rule& rule, const Axis& a) {
  const std::int64_t axis = a.axis;
  if (rule.mode == "nearest") {
    std::vector<std::int64_t> chosen;
    for (std::int64_t o = 0; o < a.to; ++o) chosen.push_back(nearest(rule, a, position(rule, a, o)));
    return b.op("Gather", {x, b.ints(chosen)}, {{"axis", axis}});
  }
  Taps taps = taps_of(rule, a);
  const Shape table{a.to, taps.width};
  return b.private_op(
      "Interpolate",
      {x, b.constant(Tensor::of<std::int64_t>(table, taps.positions)),
       b.constant(Tensor::of<double>(table, taps.weights).cast(b.dtype(x) == DType::kF64 ? DType::kF64 : DType::kF32))},
      {{"axis", axis}});
}

// extrapolation_value wherever the position along some axis is outside the image.
ValueId extrapolate(GraphBuilder& b, ValueId y, const Rule& rule, const std::vector<Axis>& axes) {
  const int rank = b.shape(y).rank();
  for (const Axis& a : axes) {
    std::vector<std::int64_t> extents(static_cast<std::size_t>(rank), 1);
    extents[static_cast<std::size_t>(a.axis)] = a.to;
    Tensor outside = Tensor::zeros(DType::kBool, Shape(extents));
    for (std::int64_t o = 0; o < a.to; ++o) {
      const double x = position(rule, a, o);
      outside.mutable_data<bool>()[o] = x < 0 || x > static_cast<double>(a.from - 1);
    }
    y = b.op("Where", {b.constant(outside), b.scalar(rule.extrapolation, b.dtype(y)), y});
  }
  return y;
}

Graph resize_body(const InferContext& c) {
  require_inputs(c, 1);
  const Rule rule = rule_of(c.node());
  const std::vector<Axis> axes = axes_of(c, rule);
  Body body(c);
  GraphBuilder& b = body.builder();
  const bool blends_integers = rule.mode != "nearest" && !is_float(c.dtype(0));
  ValueId y = blends_integers ? b.cast(body.in(0), DType::kF32) : body.in(0);
  for (const Axis& axis : axes) {
    if (axis.to < 0 || (axis.from == 0 && axis.to > 0))
      throw user_error("axis {} of {} elements cannot become one of {}", axis.axis, axis.from, axis.to);
    if (!changes_nothing(rule, axis)) y = resize_axis(b, y, rule, axis);
  }
  if (rule.crops()) y = extrapolate(b, y, rule, axes);
  y = b.cast(y, c.dtype(0));
  return body.finish({y == body.in(0) ? b.op("Identity", {y}) : y});
}

}  // namespace

std::vector<Op> resize_ops() {
  return {{.domain = "", .name = "Resize", .since = 10, .body = resize_body},
          {.domain = "", .name = "Upsample", .since = 7, .body = resize_body},
          {.domain = "retune",
           .name = "Interpolate",
           .infer = infer_interpolate,
           .forward = interpolate_forward,
           .vjp = interpolate_vjp},
          {.domain = "retune",
           .name = "InterpolateGrad",
           .infer = infer_interpolate_grad,
           .forward = interpolate_grad_forward,
           .no_vjp = kIsGradient}};
}

}  // namespace retune
