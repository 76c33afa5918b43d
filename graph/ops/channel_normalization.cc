// Normalisation by channel of x [N, C, ...]: BatchNormalization (9, 14, 15; inference), InstanceNormalization (1, 6),
// GroupNormalization (18: scale and bias a group; 21: a channel).
//
//   batch     y = (x - mean_c) / sqrt(var_c + epsilon) * scale_c + bias_c, statistics given   (Ioffe & Szegedy 2015)
//   group     a group of channels of an image is normalised by its own mean and variance      (Wu & He 2018)
//   instance  the same with a group for each channel                                          (Ulyanov et al. 2016)
//
// Group: with n the normalised element, r the inverse deviation and u = g * scale, dx = r (u - mean u - n mean(u n))
// over the group, dscale_c = sum g n, dbias_c = sum g: the private operator GroupNormGrad(x, scale [C], g). Sums over
// images add them in order.
#include <algorithm>
#include <cmath>
#include <vector>

#include "graph/graph_builder.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"
#include "graph/ops/lanes.h"
#include "graph/ops/row_statistics.h"

namespace retune {

namespace {

// x as [images, groups, channels, size].
struct Groups {
  std::int64_t images = 0, groups = 1, channels = 1, size = 1;
  std::int64_t elements() const { return channels * size; }  // of a group
};

Groups groups_of(const Shape& x, std::int64_t groups) {
  if (x.rank() < 2) throw user_error("input must be [N, C, ...], got {}", x.text());
  if (groups < 1 || x[1] % groups != 0) throw user_error("{} groups do not divide the {} channels", groups, x[1]);
  return {x[0], groups, x[1] / groups, x.product(2, x.rank())};
}

Groups groups_of(const Node& node, const Shape& x) {
  if (node.op == "InstanceNormalization") return groups_of(x, x.rank() < 2 ? 1 : std::max<std::int64_t>(x[1], 1));
  return groups_of(x, node.attributes.i("num_groups", 0));
}

double epsilon_of(const Node& node) { return node.attributes.f("epsilon", 1e-5); }

void check_parameters(const InferContext& c, int first, int last, std::int64_t extent) {
  for (int i = first; i <= last; ++i) {
    require_same_dtype(c, 0, i);
    if (!(c.shape(i) == Shape{extent})) throw user_error("input {} must be [{}], got {}", i, extent, c.shape(i).text());
  }
}

// Scale and bias have an element a channel, but a group in opset 18.
std::int64_t parameter_extent(const Node& node, const Groups& g) {
  return node.op == "GroupNormalization" && node.version < 21 ? g.groups : g.groups * g.channels;
}

void infer_group_norm(InferContext& c) {
  require_inputs(c, 3);
  require_float(c, 0);
  check_parameters(c, 1, 2, parameter_extent(c.node(), groups_of(c.node(), c.shape(0))));
  c.set(0, c.dtype(0), c.shape(0));
}

void forward_group_norm(ForwardContext& c) {
  const Groups s = groups_of(c.node(), c.in(0).shape());
  const std::int64_t repeat = s.groups * s.channels / std::max<std::int64_t>(c.in(1).numel(), 1);
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const T epsilon = static_cast<T>(epsilon_of(c.node()));
    const T* scale = c.in(1).data<T>();
    const T* bias = c.in(2).data<T>();
    const T* x = c.in(0).data<T>();
    T* y = c.out(0).mutable_data<T>();
    c.pool().parallel_for(s.images * s.groups, 1, [&](std::int64_t item, std::int64_t) {
      const T* from = x + item * s.elements();
      T* to = y + item * s.elements();
      const RowStatistics<T> stats = row_statistics<Centring::kMean>(from, s.elements(), epsilon);
      for (std::int64_t channel = 0; channel < s.channels; ++channel) {
        const std::int64_t parameter = (item % s.groups * s.channels + channel) / repeat;
        for (std::int64_t i = channel * s.size; i < (channel + 1) * s.size; ++i)
          to[i] = (from[i] - stats.mean) * stats.inverse * scale[parameter] + bias[parameter];
      }
    });
  });
}

// Inputs x, scale [C], g; attributes num_groups, epsilon. Outputs dx, dscale [C], dbias [C].
void infer_group_norm_grad(InferContext& c) {
  c.set(0, c.dtype(0), c.shape(0));
  c.set(1, c.dtype(1), c.shape(1));
  c.set(2, c.dtype(1), c.shape(1));
}

// One group of one image; sums [channels] of g n and of g.
template <class T>
void group_gradient(const Groups& s, T epsilon, const T* x, const T* scale, const T* g, T* dx, T* sum_gn, T* sum_g) {
  const RowStatistics<T> stats = row_statistics<Centring::kMean>(x, s.elements(), epsilon);
  T mean = 0, along = 0;
  for (std::int64_t channel = 0; channel < s.channels; ++channel) {
    const T* own_x = x + channel * s.size;
    const T* own_g = g + channel * s.size;
    sum_g[channel] = lane_sum<T>(s.size, [&](std::int64_t i) { return own_g[i]; });
    sum_gn[channel] =
        lane_sum<T>(s.size, [&](std::int64_t i) { return own_g[i] * (own_x[i] - stats.mean) * stats.inverse; });
    mean += scale[channel] * sum_g[channel];
    along += scale[channel] * sum_gn[channel];
  }
  mean /= static_cast<T>(s.elements());
  along /= static_cast<T>(s.elements());
  for (std::int64_t channel = 0; channel < s.channels; ++channel)
    for (std::int64_t i = channel * s.size; i < (channel + 1) * s.size; ++i)
      dx[i] = stats.inverse * (g[i] * scale[channel] - mean - (x[i] - stats.mean) * stats.inverse * along);
}

void forward_group_norm_grad(ForwardContext& c) {
  const Groups s = groups_of(c.in(0).shape(), c.attributes().i("num_groups", 1));
  const std::int64_t channels = s.groups * s.channels;
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const T* x = c.in(0).data<T>();
    const T* scale = c.in(1).data<T>();
    const T* g = c.in(2).data<T>();
    T* dx = c.out(0).mutable_data<T>();
    Tensor of_images = c.scratch(c.in(0).dtype(), {2, s.images, channels});
    T* sums_gn = of_images.mutable_data<T>();
    T* sums_g = sums_gn + s.images * channels;
    c.pool().parallel_for(s.images * s.groups, 1, [&](std::int64_t item, std::int64_t) {
      const std::int64_t at = item * s.elements(), channel = item * s.channels;
      group_gradient(s, static_cast<T>(epsilon_of(c.node())), x + at, scale + item % s.groups * s.channels, g + at,
                     dx + at, sums_gn + channel, sums_g + channel);
    });
    for (int output = 1; output <= 2; ++output) {
      T* sum = c.out(output).mutable_data<T>();
      const T* parts = output == 1 ? sums_gn : sums_g;
      std::fill(sum, sum + channels, T{0});
      for (std::int64_t n = 0; n < s.images; ++n)
        for (std::int64_t channel = 0; channel < channels; ++channel) sum[channel] += parts[n * channels + channel];
    }
  });
}

void vjp_group_norm(VjpContext& c) {
  GraphBuilder& b = c.builder();
  const Groups s = groups_of(c.node(), c.shape(c.in(0)));
  const std::int64_t channels = s.groups * s.channels;
  const Shape given = c.shape(c.in(1));
  // A scale a group, repeated for its channels.
  const Shape column{given[0], 1}, spread{given[0], given[0] == 0 ? 1 : channels / given[0]};
  const bool repeats = given[0] != channels;
  ValueId scale = c.in(1);
  if (repeats) scale = b.reshape(b.op("Expand", {b.reshape(scale, column), b.ints(spread.extents())}), {channels});
  const std::vector<ValueId> d = b.private_ops("GroupNormGrad", {c.in(0), scale, c.cotangent()},
                                               {{"num_groups", s.groups}, {"epsilon", epsilon_of(c.node())}}, 3);
  const auto fit = [&](ValueId gradient) {
    return repeats ? b.reshape(b.sum_to(b.reshape(gradient, spread), column), given) : gradient;
  };
  if (c.wants(0)) c.give(0, d[0]);
  if (c.wants(1)) c.give(1, fit(d[1]));
  if (c.wants(2)) c.give(2, fit(d[2]));
}

void infer_batch_norm(InferContext& c) {
  require_inputs(c, 5);
  require_float(c, 0);
  if (c.attributes().i("training_mode", 0) != 0 || c.output_count() > 1)
    throw user_error("BatchNormalization in training mode is not supported; export the model for inference");
  const Groups s = groups_of(c.shape(0), 1);
  for (int i = 1; i <= 4; ++i)
    if (!(c.shape(i) == Shape{s.channels}))
      throw user_error("input {} must be [{}], got {}", i, s.channels, c.shape(i).text());
  check_parameters(c, 1, 4, s.channels);
  c.set(0, c.dtype(0), c.shape(0));
}

void forward_batch_norm(ForwardContext& c) {
  const Groups s = groups_of(c.in(0).shape(), 1);
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const T epsilon = static_cast<T>(epsilon_of(c.node()));
    const T* x = c.in(0).data<T>();
    T* y = c.out(0).mutable_data<T>();
    const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(s.size, 1));
    c.pool().parallel_for(s.images * s.channels, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t plane = begin; plane < end; ++plane) {
        const std::int64_t channel = plane % s.channels;
        const T factor = c.in(1).data<T>()[channel] / std::sqrt(c.in(4).data<T>()[channel] + epsilon);
        const T bias = c.in(2).data<T>()[channel], mean = c.in(3).data<T>()[channel];
        for (std::int64_t i = plane * s.size; i < (plane + 1) * s.size; ++i) y[i] = (x[i] - mean) * factor + bias;
      }
    });
  });
}

void vjp_batch_norm(VjpContext& c) {
  if (c.wants(3) || c.wants(4)) throw user_error("the statistics of a batch normalisation have no gradient");
  GraphBuilder& b = c.builder();
  const Shape shape = c.shape(c.in(0)), channels = c.shape(c.in(1));
  // A value a channel, as it broadcasts over x.
  std::vector<std::int64_t> extents(static_cast<std::size_t>(shape.rank() - 1), 1);
  extents[0] = shape[1];
  const Shape column(extents);
  const auto spread = [&](ValueId id) { return b.reshape(id, column); };
  const ValueId inverse = b.op("Reciprocal", {b.op("Sqrt", {b.add(c.in(4), epsilon_of(c.node()))})});
  if (c.wants(0)) c.give(0, b.mul(c.cotangent(), spread(b.mul(c.in(1), inverse))));
  if (c.wants(1)) {
    const ValueId normal = b.mul(b.sub(c.in(0), spread(c.in(3))), spread(inverse));
    c.give(1, b.reshape(b.sum_to(b.mul(c.cotangent(), normal), column), channels));
  }
  if (c.wants(2)) c.give(2, b.reshape(b.sum_to(c.cotangent(), column), channels));
}

}  // namespace

std::vector<Op> channel_normalization_ops() {
  return {
      {.domain = "",
       .name = "BatchNormalization",
       .since = 9,
       .infer = infer_batch_norm,
       .forward = forward_batch_norm,
       .vjp = vjp_batch_norm},
      {.domain = "",
       .name = "InstanceNormalization",
       .infer = infer_group_norm,
       .forward = forward_group_norm,
       .vjp = vjp_group_norm},
      {.domain = "",
       .name = "GroupNormalization",
       .since = 18,
       .infer = infer_group_norm,
       .forward = forward_group_norm,
       .vjp = vjp_group_norm},
      {.domain = "retune",
       .name = "GroupNormGrad",
       .infer = infer_group_norm_grad,
       .forward = forward_group_norm_grad,
       .no_vjp = kIsGradient},
  };
}

}  // namespace retune
