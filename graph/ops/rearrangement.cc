// Elements put elsewhere, as bodies of moves that have their gradients: DepthToSpace SpaceToDepth (1), CenterCropPad
// (18), Col2Im (18), MaxUnpool (9), TensorScatter (24); and ReverseSequence (10), which is its own gradient.
//
//   DepthToSpace    [N, b b C, H, W] -> [N, C, b H, b W]; the blocks' offsets stand before the channels (DCR) or behind
//   SpaceToDepth    the inverse of DCR
//   CenterCropPad   an axis cut or filled with zeros on both sides, the odd element at the end
//   Col2Im          [N, C taps, positions] -> [N, C, image]: columns added back to where windows take them from
//   MaxUnpool       x at the places that `indices` names in the flattened output, zeros elsewhere
//   TensorScatter   a cache [B, ..., T, ...] with update [B, ..., S, ...] written from write_indices[b] on; `circular`
//                   ones start again behind the end
#include <algorithm>
#include <numeric>

#include "graph/ops/body.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"
#include "graph/ops/window.h"

namespace retune {

namespace {

using Ints = std::vector<std::int64_t>;

// --- Blocks

std::int64_t block_size(const InferContext& c) {
  require_inputs(c, 1);
  if (c.shape(0).rank() != 4) throw user_error("input must be [N, C, H, W], got {}", c.shape(0).text());
  const std::int64_t block = c.attributes().i("blocksize", 0);
  if (block < 1 || block >= (1 << 15)) throw user_error("blocksize is {}, expected 1 or more", block);
  return block;
}

Graph depth_to_space_body(const InferContext& c) {
  const std::int64_t block = block_size(c);
  const Shape x = c.shape(0);
  const std::string mode = c.attributes().s("mode", "DCR");
  if (mode != "DCR" && mode != "CRD") throw user_error("mode is '{}', expected DCR or CRD", mode);
  if (x[1] % (block * block) != 0) throw user_error("{} channels do not split into blocks of {}", x[1], block * block);
  const std::int64_t channels = x[1] / (block * block);
  Body body(c);
  GraphBuilder& b = body.builder();
  const bool depth_first = mode == "DCR";
  const Shape split =
      depth_first ? Shape{x[0], block, block, channels, x[2], x[3]} : Shape{x[0], channels, block, block, x[2], x[3]};
  const ValueId moved =
      b.transpose(b.reshape(body.in(0), split), depth_first ? Ints{0, 3, 4, 1, 5, 2} : Ints{0, 1, 4, 2, 5, 3});
  return body.finish({b.reshape(moved, {x[0], channels, x[2] * block, x[3] * block})});
}

Graph space_to_depth_body(const InferContext& c) {
  const std::int64_t block = block_size(c);
  const Shape x = c.shape(0);
  if (x[2] % block != 0 || x[3] % block != 0) throw user_error("{} does not split into blocks of {}", x.text(), block);
  Body body(c);
  GraphBuilder& b = body.builder();
  const ValueId split = b.reshape(body.in(0), {x[0], x[1], x[2] / block, block, x[3] / block, block});
  return body.finish(
      {b.reshape(b.transpose(split, {0, 3, 5, 1, 2, 4}), {x[0], x[1] * block * block, x[2] / block, x[3] / block})});
}

// --- CenterCropPad

Graph center_crop_pad_body(const InferContext& c) {
  require_inputs(c, 2);
  const Shape x = c.shape(0);
  const Ints wanted = c.require_constant(1).to_i64();
  Ints axes = c.attributes().ints("axes");
  if (axes.empty()) {
    axes.resize(static_cast<std::size_t>(x.rank()));
    std::iota(axes.begin(), axes.end(), 0);
  }
  if (wanted.size() != axes.size()) throw user_error("shape has {} extents for {} axes", wanted.size(), axes.size());
  Ints starts, ends, cut_axes, pads(static_cast<std::size_t>(2 * x.rank()), 0);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const int axis = normalize_axis(axes[i], x.rank());
    if (wanted[i] < 0) throw user_error("shape holds {}, expected 0 or more", wanted[i]);
    if (wanted[i] < x[axis]) {
      cut_axes.push_back(axis);
      starts.push_back((x[axis] - wanted[i]) / 2);
      ends.push_back(starts.back() + wanted[i]);
    } else {
      const std::int64_t missing = wanted[i] - x[axis];
      pads[static_cast<std::size_t>(axis)] = missing / 2;
      pads[static_cast<std::size_t>(axis + x.rank())] = missing - missing / 2;
    }
  }
  Body body(c);
  GraphBuilder& b = body.builder();
  ValueId y = body.in(0);
  if (!cut_axes.empty()) y = b.op("Slice", {y, b.ints(starts), b.ints(ends), b.ints(cut_axes)});
  return body.finish({b.op("Pad", {y, b.ints(pads)})});
}

// --- Col2Im

// For every tap and window, in that order, the element of the flattened image under it, or `outside`.
Ints elements_under_windows(const Ints& image, const Ints& block, const Ints& stride, const Ints& dilation,
                            const Ints& pads, const Ints& windows, std::int64_t outside) {
  const std::int64_t taps = std::accumulate(block.begin(), block.end(), std::int64_t{1}, std::multiplies<>()),
                     count = std::accumulate(windows.begin(), windows.end(), std::int64_t{1}, std::multiplies<>());
  Ints elements;
  elements.reserve(static_cast<std::size_t>(taps * count));
  for (std::int64_t tap = 0; tap < taps; ++tap) {
    for (std::int64_t window = 0; window < count; ++window) {
      std::int64_t element = 0, step = 1, rest_tap = tap, rest_window = window;
      for (std::size_t i = image.size(); i-- > 0 && element >= 0;) {
        const std::int64_t at = rest_window % windows[i] * stride[i] + rest_tap % block[i] * dilation[i] - pads[i];
        rest_window /= windows[i];
        rest_tap /= block[i];
        element = at < 0 || at >= image[i] ? -1 : element + at * step;
        step *= image[i];
      }
      elements.push_back(element < 0 ? outside : element);
    }
  }
  return elements;
}

Graph col2im_body(const InferContext& c) {
  require_inputs(c, 3);
  const Shape x = c.shape(0);
  const Ints image = c.require_constant(1).to_i64(), block = c.require_constant(2).to_i64();
  if (x.rank() != 3 || image.empty() || image.size() != block.size())
    throw user_error("input {} must be [N, C taps, positions], image_shape and block_shape of one length", x.text());
  const Attributes& a = c.attributes();
  const Ints stride = window_numbers(a, "strides", image.size(), 1, 1),
             dilation = window_numbers(a, "dilations", image.size(), 1, 1),
             pads = window_numbers(a, "pads", 2 * image.size(), 0, 0);
  const Shape pixels(image), taps(block);  // checks both
  Ints windows;
  for (std::size_t i = 0; i < image.size(); ++i) {
    const std::int64_t room = image[i] + pads[i] + pads[image.size() + i] - (block[i] - 1) * dilation[i] - 1;
    windows.push_back(room < 0 ? 0 : room / stride[i] + 1);
  }
  if (taps.numel() < 1 || x[1] % taps.numel() != 0 || Shape(windows).numel() != x[2])
    throw user_error("{} is not {} taps a channel at {} positions", x.text(), taps.numel(), Shape(windows).text());
  const std::int64_t channels = x[1] / taps.numel(), planes = x[0] * channels;
  Body body(c);
  GraphBuilder& b = body.builder();
  // Pixels as rows, planes as columns; what is outside the image goes to a row more.
  const ValueId columns = b.transpose(b.reshape(body.in(0), {planes, taps.numel() * x[2]}), {1, 0});
  const Ints elements = elements_under_windows(image, block, stride, dilation, pads, windows, pixels.numel());
  const ValueId zeros = b.op("ConstantOfShape", {b.ints({pixels.numel() + 1, planes})},
                             {{"value", Tensor::scalar<double>(0).cast(c.dtype(0)).reshaped(Shape{1})}});
  const ValueId rows = b.constant(Tensor::of<std::int64_t>({static_cast<std::int64_t>(elements.size()), 1}, elements));
  const ValueId sums = b.op("ScatterND", {zeros, rows, columns}, {{"reduction", std::string("add")}});
  const ValueId inside = b.op("Slice", {sums, b.ints({0}), b.ints({pixels.numel()}), b.ints({0})});
  Ints extents{x[0], channels};
  extents.insert(extents.end(), image.begin(), image.end());
  return body.finish({b.reshape(b.transpose(inside, {1, 0}), Shape(extents))});
}

// --- MaxUnpool

Graph max_unpool_body(const InferContext& c) {
  require_inputs(c, 2);
  const Shape x = c.shape(0);
  if (x.rank() < 3 || !(c.shape(1) == x))
    throw user_error("X {} must be [N, C, ...] and have the indices' shape {}", x.text(), c.shape(1).text());
  const auto count = static_cast<std::size_t>(x.rank() - 2);
  const Attributes& a = c.attributes();
  const Ints kernel = window_numbers(a, "kernel_shape", count, 1, 0),
             stride = window_numbers(a, "strides", count, 1, 1), pads = window_numbers(a, "pads", 2 * count, 0, 0);
  Ints natural{x[0], x[1]};
  for (std::size_t i = 0; i < count; ++i)
    natural.push_back((x[static_cast<int>(i) + 2] - 1) * stride[i] + kernel[i] - pads[i] - pads[count + i]);
  const Shape shape(natural);
  Body body(c);
  GraphBuilder& b = body.builder();
  const ValueId zeros = b.op("ConstantOfShape", {b.ints({shape.numel()})},
                             {{"value", Tensor::scalar<double>(0).cast(c.dtype(0)).reshaped(Shape{1})}});
  const ValueId flat =
      b.op("ScatterElements", {zeros, b.reshape(body.in(1), {x.numel()}), b.reshape(body.in(0), {x.numel()})});
  ValueId y = b.reshape(flat, shape);
  if (c.has(2)) {
    const Ints wanted = c.require_constant(2).to_i64();
    if (wanted.size() != natural.size())
      throw user_error("output_shape has {} extents, expected {}", wanted.size(), natural.size());
    Ints behind(2 * natural.size(), 0);
    for (std::size_t i = 0; i < natural.size(); ++i) behind[natural.size() + i] = wanted[i] - natural[i];
    y = b.op("Pad", {y, b.ints(behind)});
  }
  return body.finish({y});
}

// --- TensorScatter: past_cache, update, write_indices? [B]

Graph tensor_scatter_body(const InferContext& c) {
  require_inputs(c, 2);
  require_same_dtype(c, 0, 1);
  const Shape cache = c.shape(0), update = c.shape(1);
  const int axis = normalize_axis(c.attributes().i("axis", -2), cache.rank());
  const std::string mode = c.attributes().s("mode", "linear");
  if (mode != "linear" && mode != "circular") throw user_error("mode is '{}', expected linear or circular", mode);
  bool fits = axis > 0 && update.rank() == cache.rank() && update[axis] <= cache[axis];
  for (int i = 0; fits && i < cache.rank(); ++i) fits = i == axis || update[i] == cache[i];
  if (!fits) throw user_error("update {} does not fit cache {} along axis {}", update.text(), cache.text(), axis);
  if (c.has(2) && !(c.shape(2) == Shape{cache[0]}))
    throw user_error("write_indices is {}, expected [{}]", c.shape(2).text(), cache[0]);
  Body body(c);
  GraphBuilder& b = body.builder();
  Ints along(static_cast<std::size_t>(cache.rank()), 1), per_batch = along,
                                                         offsets(static_cast<std::size_t>(update[axis]));
  along[static_cast<std::size_t>(axis)] = update[axis];
  per_batch[0] = cache[0];
  std::iota(offsets.begin(), offsets.end(), 0);
  ValueId at = b.constant(Tensor::of<std::int64_t>(Shape(along), offsets));
  if (c.has(2)) at = b.add(b.reshape(b.cast(body.in(2), DType::kI64), Shape(per_batch)), at);
  if (mode == "circular")
    at = b.op("Mod", {at, b.constant(Tensor::scalar<std::int64_t>(std::max<std::int64_t>(cache[axis], 1)))});
  at = b.op("Expand", {at, b.ints(update.extents())});
  return body.finish({b.op("ScatterElements", {body.in(0), at, body.in(1)}, {{"axis", std::int64_t{axis}}})});
}

// --- ReverseSequence: the first sequence_lens[b] steps of each sequence, last first

struct Sequences {
  int batch = 0, time = 0;
};

Sequences sequences_of(const Attributes& a, const Shape& x) {
  Sequences s{normalize_axis(a.i("batch_axis", 1), x.rank()), normalize_axis(a.i("time_axis", 0), x.rank())};
  if (s.batch > 1 || s.time > 1 || s.batch == s.time)
    throw user_error("batch_axis {} and time_axis {} must be 0 and 1", s.batch, s.time);
  return s;
}

void infer_reverse_sequence(InferContext& c) {
  require_inputs(c, 2);
  if (c.shape(0).rank() < 2) throw user_error("input must have rank 2 or more, got {}", c.shape(0).text());
  const Sequences s = sequences_of(c.attributes(), c.shape(0));
  if (!(c.shape(1) == Shape{c.shape(0)[s.batch]}))
    throw user_error("sequence_lens is {}, expected [{}]", c.shape(1).text(), c.shape(0)[s.batch]);
  c.same_as_input();
}

void forward_reverse_sequence(ForwardContext& c) {
  const Shape& x = c.in(0).shape();
  const Sequences s = sequences_of(c.attributes(), x);
  const Ints lengths = c.in(1).to_i64();
  const std::int64_t steps = x[s.time], batch = x[s.batch], inner = x.product(2, x.rank());
  for (const std::int64_t length : lengths)
    if (length < 0 || length > steps) throw user_error("sequence_lens holds {}, expected 0 to {}", length, steps);
  visit_width(c.in(0).dtype(), [&]<class U>(U) {
    const U* from = words<U>(c.in(0));
    U* to = mutable_words<U>(c.out(0));
    c.pool().parallel_for(batch * steps, std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(inner, 1)),
                          [&](std::int64_t begin, std::int64_t end) {
                            for (std::int64_t i = begin; i < end; ++i) {
                              const std::int64_t b = i / steps, t = i % steps,
                                                 length = lengths[static_cast<std::size_t>(b)];
                              const std::int64_t source = t < length ? length - 1 - t : t;
                              const auto at = [&](std::int64_t step) {
                                return (s.batch == 0 ? b * steps + step : step * batch + b) * inner;
                              };
                              std::copy_n(from + at(source), inner, to + at(t));
                            }
                          });
  });
}

void reverse_sequence_vjp(VjpContext& c) {
  if (c.wants(0)) c.give(0, c.builder().op("ReverseSequence", {c.cotangent(), c.in(1)}, c.attributes()));
}

}  // namespace

std::vector<Op> rearrangement_ops() {
  return {{.domain = "", .name = "DepthToSpace", .body = depth_to_space_body},
          {.domain = "", .name = "SpaceToDepth", .body = space_to_depth_body},
          {.domain = "", .name = "CenterCropPad", .since = 18, .body = center_crop_pad_body},
          {.domain = "", .name = "Col2Im", .since = 18, .body = col2im_body},
          {.domain = "", .name = "MaxUnpool", .since = 9, .body = max_unpool_body},
          {.domain = "", .name = "TensorScatter", .since = 24, .body = tensor_scatter_body},
          {.domain = "",
           .name = "ReverseSequence",
           .since = 10,
           .infer = infer_reverse_sequence,
           .forward = forward_reverse_sequence,
           .vjp = reverse_sequence_vjp,
           .takes_half = true}};
}

}  // namespace retune
