#include "graph/ops/window.h"

#include "tensor/error.h"

namespace retune {

namespace {

std::int64_t output_extent(const Window& w, std::size_t axis, bool ceil) {
  const std::int64_t span = (w.kernel[axis] - 1) * w.dilation[axis] + 1;
  const std::int64_t room = w.input[axis] + w.pad_begin[axis] + w.pad_end[axis] - span;
  if (room < 0) throw user_error("a window of {} does not fit into {} padded elements", span, room + span);
  std::int64_t extent = (room + (ceil ? w.stride[axis] - 1 : 0)) / w.stride[axis] + 1;
  // A window that would start in the padding behind the input is left out.
  if (ceil && (extent - 1) * w.stride[axis] >= w.input[axis] + w.pad_begin[axis]) --extent;
  return extent;
}

// SAME: as many outputs as ceil(input / stride), the padding split evenly, the odd element at the end (upper) or
// beginning (lower).
void pad_same(Window& w, std::size_t axis, bool upper) {
  const std::int64_t span = (w.kernel[axis] - 1) * w.dilation[axis] + 1;
  const std::int64_t outputs = (w.input[axis] + w.stride[axis] - 1) / w.stride[axis];
  const std::int64_t total = std::max<std::int64_t>(0, (outputs - 1) * w.stride[axis] + span - w.input[axis]);
  w.pad_begin[axis] = upper ? total / 2 : total - total / 2;
  w.pad_end[axis] = total - w.pad_begin[axis];
}

}  // namespace

std::vector<std::int64_t> window_numbers(const Attributes& attributes, const char* name, std::size_t count,
                                         std::int64_t least, std::int64_t fallback) {
  std::vector<std::int64_t> values = attributes.ints(name);
  if (values.empty()) values.assign(count, fallback);
  if (values.size() != count) throw user_error("attribute {} has {} numbers, expected {}", name, values.size(), count);
  for (const std::int64_t value : values)
    if (value < least || value >= kLongestWindow)
      throw user_error("attribute {} holds {}, expected {} or more", name, value, least);
  return values;
}

bool Window::is_pointwise() const {
  constexpr Extents kOnes{1, 1, 1}, kNone{0, 0, 0};
  return kernel == kOnes && stride == kOnes && pad_begin == kNone && pad_end == kNone;
}

Shape Window::output_shape(std::int64_t n, std::int64_t channels) const {
  std::vector<std::int64_t> extents{n, channels};
  extents.insert(extents.end(), output.end() - spatial_rank, output.end());
  return Shape(std::move(extents));
}

Window window_of(const Attributes& attributes, const Shape& x, std::vector<std::int64_t> kernel) {
  if (x.rank() < 3 || x.rank() > 5)
    throw user_error("input must be [N, C] and one to three spatial axes, got {}", x.text());
  Window w;
  w.spatial_rank = x.rank() - 2;
  const auto count = static_cast<std::size_t>(w.spatial_rank);
  if (kernel.size() != count) throw user_error("the kernel has {} spatial axes, the input {}", kernel.size(), count);
  const auto strides = window_numbers(attributes, "strides", count, 1, 1),
             dilations = window_numbers(attributes, "dilations", count, 1, 1);
  const auto pads = window_numbers(attributes, "pads", 2 * count, 0, 0);
  const std::string mode = attributes.s("auto_pad", "NOTSET");
  if (mode != "NOTSET" && mode != "SAME_UPPER" && mode != "SAME_LOWER" && mode != "VALID")
    throw user_error("auto_pad '{}' is unknown", mode);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t axis = 3 - count + i;
    if (kernel[i] < 1 || kernel[i] >= kLongestWindow)
      throw user_error("a kernel extent of {}; expected 1 or more", kernel[i]);
    w.input[axis] = x[static_cast<int>(2 + i)];
    w.kernel[axis] = kernel[i];
    w.stride[axis] = strides[i];
    w.dilation[axis] = dilations[i];
    if (mode == "NOTSET") {
      w.pad_begin[axis] = pads[i];
      w.pad_end[axis] = pads[count + i];
    } else if (mode != "VALID") {
      pad_same(w, axis, mode == "SAME_UPPER");
    }
    w.output[axis] = output_extent(w, axis, attributes.i("ceil_mode", 0) != 0);
  }
  return w;
}

}  // namespace retune
