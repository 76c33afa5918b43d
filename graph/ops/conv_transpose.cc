// ConvTranspose (1, 11, 22): x [N, C, ...], weight [C, M / group, ...], bias [M] -> y [N, M, ...], one to three spatial
// axes.
//
//   y[n, m, q] = bias[m] + sum over c, t, p with q = p * stride + t * dilation - pad of weight[c, m, t] x[n, c, p]
//
// It is the adjoint of the convolution that leads from y to x, so it shares its kernel: Y = columns^T(W^T X).
//
//   extent of y   (p - 1) * stride + (kernel - 1) * dilation + 1 + output_padding - pads,
//
// or output_shape, or with auto_pad SAME_* p * stride; the pads then follow, the odd one at the end for SAME_UPPER and
// at the beginning otherwise. An output_shape larger than what is computed ends in zeros, as in ONNX Runtime.
#include "graph/ops/columns.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"

namespace retune {

namespace {

// Padding and extent of y along one axis. `natural` is the extent without any padding.
void fit_output(Window& w, std::size_t axis, std::int64_t natural, std::int64_t wanted, bool upper) {
  const std::int64_t total = std::max<std::int64_t>(0, natural - wanted);
  w.pad_begin[axis] = upper ? total / 2 : total - total / 2;
  w.input[axis] = wanted;
}

// The window of the convolution from y to x: its input is y.
Window transposed_window(const Attributes& attributes, const Shape& x, const std::vector<std::int64_t>& kernel) {
  if (x.rank() < 3 || x.rank() > 5)
    throw user_error("input must be [N, C] and one to three spatial axes, got {}", x.text());
  const auto count = static_cast<std::size_t>(x.rank() - 2);
  const auto strides = window_numbers(attributes, "strides", count, 1, 1),
             dilations = window_numbers(attributes, "dilations", count, 1, 1),
             added = window_numbers(attributes, "output_padding", count, 0, 0),
             pads = window_numbers(attributes, "pads", 2 * count, 0, 0);
  const std::string mode = attributes.s("auto_pad", "NOTSET");
  if (mode != "NOTSET" && mode != "SAME_UPPER" && mode != "SAME_LOWER" && mode != "VALID")
    throw user_error("auto_pad '{}' is unknown", mode);
  std::vector<std::int64_t> wanted = attributes.ints("output_shape");
  if (wanted.size() == count + 2) wanted.erase(wanted.begin(), wanted.begin() + 2);  // some writers name N and C too
  if (!wanted.empty()) wanted = window_numbers(Attributes{{"output_shape", wanted}}, "output_shape", count, 1, 1);
  Window w;
  w.spatial_rank = static_cast<int>(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t axis = 3 - count + i;
    if (kernel[i] < 1 || kernel[i] >= kLongestWindow)
      throw user_error("a kernel extent of {}; expected 1 or more", kernel[i]);
    w.output[axis] = x[static_cast<int>(2 + i)];
    w.kernel[axis] = kernel[i];
    w.stride[axis] = strides[i];
    w.dilation[axis] = dilations[i];
    if (w.output[axis] < 1 || w.output[axis] >= kLongestWindow)
      throw user_error("a spatial extent of {}; expected 1 or more", w.output[axis]);
    const std::int64_t natural = (w.output[axis] - 1) * strides[i] + added[i] + (kernel[i] - 1) * dilations[i] + 1;
    const bool upper = mode == "SAME_UPPER";
    if (!wanted.empty()) {
      fit_output(w, axis, natural, wanted[i], upper);
    } else if (mode == "SAME_UPPER" || mode == "SAME_LOWER") {
      fit_output(w, axis, natural, w.output[axis] * strides[i], upper);
    } else {
      const bool valid = mode == "VALID";
      w.pad_begin[axis] = valid ? 0 : pads[i];
      w.input[axis] = natural - (valid ? 0 : pads[i] + pads[count + i]);
    }
    if (w.input[axis] < 0) throw user_error("the pads leave {} elements along axis {}", w.input[axis], i + 2);
    // What is behind the last window: tells the kernel that the two sides differ.
    w.pad_end[axis] = natural - w.pad_begin[axis] - w.input[axis] - added[i];
  }
  return w;
}

Convolution transposed_convolution_of(const Attributes& attributes, const Shape& x, const Shape& weight) {
  if (weight.rank() != x.rank() || x.rank() < 3)
    throw user_error("input {} and weight {} must have one rank of 3 to 5", x.text(), weight.text());
  const std::vector<std::int64_t> kernel(weight.begin() + 2, weight.end());
  if (attributes.has("kernel_shape") && attributes.ints("kernel_shape") != kernel)
    throw user_error("attribute kernel_shape disagrees with the weight {}", weight.text());
  Convolution s;
  s.window = transposed_window(attributes, x, kernel);
  s.groups = attributes.i("group", 1);
  if (s.groups < 1 || x[1] % s.groups != 0 || weight[0] != x[1])
    throw user_error("{} groups do not fit input {} and weight {}", s.groups, x.text(), weight.text());
  s.images = x[0];
  s.in_channels = weight[1];
  s.out_channels = x[1] / s.groups;
  return s;
}

std::int64_t channels_of(const Convolution& s) { return s.groups * s.in_channels; }

Shape result_shape(const Convolution& s) {
  std::vector<std::int64_t> extents{s.images, channels_of(s)};
  extents.insert(extents.end(), s.window.input.end() - s.window.spatial_rank, s.window.input.end());
  return Shape(std::move(extents));
}

void infer_conv_transpose(InferContext& c) {
  require_inputs(c, 2);
  require_float(c, 0);
  require_same_dtype(c, 0, 1);
  const Convolution s = transposed_convolution_of(c.attributes(), c.shape(0), c.shape(1));
  if (c.has(2) && !(c.shape(2) == Shape{channels_of(s)}))
    throw user_error("bias must be [{}], got {}", channels_of(s), c.shape(2).text());
  c.set(0, c.dtype(0), result_shape(s));
}

void forward_conv_transpose(ForwardContext& c) {
  const Convolution s = transposed_convolution_of(c.attributes(), c.in(0).shape(), c.in(1).shape());
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    T* y = c.out(0).mutable_data<T>();
    convolve_transposed(c.pool(), s, c.in(1).data<T>(), c.in(0).data<T>(), y);
    if (!c.has(2)) return;
    const T* bias = c.in(2).data<T>();
    const std::int64_t size = s.window.input_size(), channels = channels_of(s);
    c.pool().parallel_for(s.images * channels,
                          std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(size, 1)),
                          [=](std::int64_t begin, std::int64_t end) {
                            for (std::int64_t i = begin * size; i < end * size; ++i) y[i] += bias[i / size % channels];
                          });
  });
}

}  // namespace

std::vector<Op> conv_transpose_ops() {
  return {{.domain = "",
           .name = "ConvTranspose",
           .infer = infer_conv_transpose,
           .forward = forward_conv_transpose,
           .no_vjp = "transposed convolutions run forward only"}};
}

}  // namespace retune
