// DFT (17, 20) and STFT (17): x [..., 1] real or [..., 2] complex.
//
//   DFT            y_k = sum_t x_t e^(-2 pi i k t / n) along an axis of n, to which x is cut or filled with zeros
//     onesided     the first n / 2 + 1 of them only
//     inverse      y_t = 1 / n sum_k x_k e^(+2 pi i k t / n)
//     both         of the spectrum's first half: a real y [..., 1]
//   STFT           the DFT of each frame of a signal [B, L, 1 or 2], frame_step apart, times a window: [B, frames,
//   bins,
//                  2]; a body of Gather, Mul and DFT
//
// The transform is linear: its gradient is the conjugate transform, onesided ones filled with zeros first. A line is
// transformed in its own precision; of a real one half the spectrum is computed, and the rest is its mirror image.
#include <algorithm>
#include <complex>

#include "graph/ops/body.h"
#include "graph/ops/families.h"
#include "graph/ops/fourier.h"
#include "graph/ops/kernel.h"
#include "graph/ops/scalar_input.h"

namespace retune {

namespace {

constexpr std::int64_t kLongest = std::int64_t{1} << 31;

struct Transform {
  int axis = 0;
  std::int64_t length = 0;  // n
  bool inverse = false, onesided = false;

  std::int64_t bins() const { return length / 2 + 1; }
  std::int64_t outputs() const { return onesided && !inverse ? bins() : length; }
  bool to_real() const { return onesided && inverse; }
};

// `length` and `axis` are the inputs' values, if the inputs are there.
Transform transform_of(const Node& node, const Shape& x, const Tensor* length, const Tensor* axis) {
  if (x.rank() < 2 || (x.back() != 1 && x.back() != 2))
    throw user_error("input must be [..., 1] (real) or [..., 2] (complex), got {}", x.text());
  Transform t;
  t.inverse = node.attributes.i("inverse", 0) != 0;
  t.onesided = node.attributes.i("onesided", 0) != 0;
  const std::int64_t along = axis != nullptr     ? integer_of(*axis, "the axis")
                             : node.version < 20 ? node.attributes.i("axis", 1)
                                                 : -2;
  t.axis = normalize_axis(along, x.rank());
  if (t.axis == x.rank() - 1) throw user_error("axis {} holds real and imaginary parts", t.axis);
  t.length = length != nullptr ? integer_of(*length, "the length") : t.to_real() ? 2 * (x[t.axis] - 1) : x[t.axis];
  if (t.length < 1 || t.length >= kLongest)
    throw user_error("a transform of length {}; expected 1 to {}", t.length, kLongest - 1);
  if (t.onesided && !t.inverse && x.back() == 2)
    throw user_error("onesided is for real input, got {}: half of a complex signal's spectrum does not tell the rest",
                     x.text());
  return t;
}

void infer_dft(InferContext& c) {
  require_inputs(c, 1);
  require_float(c, 0);
  const Tensor* length = c.has(1) ? &c.require_constant(1) : nullptr;
  const Tensor* axis = c.version() >= 20 && c.has(2) ? &c.require_constant(2) : nullptr;
  const Transform t = transform_of(c.node(), c.shape(0), length, axis);
  std::vector<std::int64_t> extents = c.shape(0).extents();
  extents[static_cast<std::size_t>(t.axis)] = t.outputs();
  extents.back() = t.to_real() ? 1 : 2;
  c.set(0, c.dtype(0), Shape(std::move(extents)));
}

// One line of `count` numbers, `step` apart: as complex numbers, cut or filled to those that the transform reads.
template <class T>
void read_line(const T* x, std::int64_t count, std::int64_t step, std::int64_t parts, const Transform& t,
               std::complex<T>* line) {
  const std::int64_t kept = std::min(count, t.to_real() ? t.bins() : t.length);
  for (std::int64_t i = 0; i < kept; ++i) line[i] = {x[i * step], parts == 2 ? x[i * step + 1] : T{0}};
  std::fill(line + kept, line + t.length, std::complex<T>{});
  if (!t.to_real()) return;
  for (std::int64_t i = 1; i < t.length - i; ++i) line[t.length - i] = std::conj(line[i]);
}

// What rounding left of the symmetry of a real line's spectrum.
template <class T>
void mirror(std::complex<T>* line, std::int64_t n) {
  line[0] = {line[0].real(), T{0}};
  if (n % 2 == 0) line[n / 2] = {line[n / 2].real(), T{0}};
  for (std::int64_t k = 1; k < n - k; ++k) line[n - k] = std::conj(line[k]);
}

// The lines of one node: [outer, read, inner, parts] to [outer, written, inner, made].
struct LineLayout {
  std::int64_t inner, read, written, parts, made;
};

template <class T>
void transform_line(const Transform& t, const Fourier<T>& fourier, const LineLayout& s, std::int64_t i, const T* x,
                    T* y, std::complex<T>* line, std::complex<T>* scratch) {
  const std::int64_t before = i / s.inner, behind = i % s.inner;
  read_line(x + (before * s.read * s.inner + behind) * s.parts, s.read, s.inner * s.parts, s.parts, t, line);
  t.inverse ? fourier.backward(line, scratch) : fourier.forward(line, scratch);
  if (s.parts == 1) mirror(line, t.length);
  const T scale = t.inverse ? static_cast<T>(1.0 / static_cast<double>(t.length)) : T{1};
  T* to = y + (before * s.written * s.inner + behind) * s.made;
  for (std::int64_t k = 0; k < s.written; ++k) {
    to[k * s.inner * s.made] = line[k].real() * scale;
    if (s.made == 2) to[k * s.inner * s.made + 1] = line[k].imag() * scale;
  }
}

void dft_forward(ForwardContext& c) {
  const Shape& from = c.in(0).shape();
  const Shape& to = c.out_type(0).shape;
  const Transform t =
      transform_of(c.node(), from, c.has(1) ? &c.in(1) : nullptr, c.version() >= 20 && c.has(2) ? &c.in(2) : nullptr);
  const LineLayout s{from.product(t.axis + 1, from.rank() - 1), from[t.axis], to[t.axis], from.back(), to.back()};
  const std::int64_t lines = from.product(0, t.axis) * s.inner;
  if (lines == 0) return;
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const T* x = c.in(0).data<T>();
    T* y = c.out(0).mutable_data<T>();
    const Fourier<T> fourier(t.length);
    const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / (4 * t.length));
    c.pool().parallel_for(lines, grain, [&](std::int64_t begin, std::int64_t end) {
      std::vector<std::complex<T>> line(static_cast<std::size_t>(t.length)), scratch(line.size());
      for (std::int64_t i = begin; i < end; ++i) transform_line(t, fourier, s, i, x, y, line.data(), scratch.data());
    });
  });
}

// x cut, or filled with zeros behind, to `extent` along `axis`.
ValueId fit(GraphBuilder& b, ValueId x, int axis, std::int64_t extent) {
  const Shape shape = b.shape(x);
  if (shape[axis] == extent) return x;
  if (shape[axis] > extent) return b.op("Slice", {x, b.ints({0}), b.ints({extent}), b.ints({axis})});
  std::vector<std::int64_t> pads(static_cast<std::size_t>(2 * shape.rank()), 0);
  pads[static_cast<std::size_t>(shape.rank() + axis)] = extent - shape[axis];
  return b.op("Pad", {x, b.ints(pads)});
}

void dft_vjp(VjpContext& c) {
  if (!c.wants(0)) return;
  GraphBuilder& b = c.builder();
  const Shape x = c.shape(c.in(0));
  const auto value = [&](int i) { return c.has(i) ? &b.graph().value(c.in(i)).constant : nullptr; };
  const Transform t = transform_of(c.node(), x, value(1), c.version() >= 20 ? value(2) : nullptr);
  const auto n = static_cast<double>(t.length);
  const auto transformed = [&](ValueId g, std::int64_t inverse, std::int64_t onesided) {
    return b.op("DFT", {g}, {{"axis", std::int64_t{t.axis}}, {"inverse", inverse}, {"onesided", onesided}});
  };
  ValueId gradient;
  if (t.to_real()) {
    // A bin inside the half spectrum stands for its mirror image too.
    std::vector<double> weights(static_cast<std::size_t>(t.bins()), 2 / n);
    weights.front() = 1 / n;
    if (t.length % 2 == 0) weights.back() = 1 / n;
    std::vector<std::int64_t> extents(static_cast<std::size_t>(x.rank()), 1);
    extents[static_cast<std::size_t>(t.axis)] = t.bins();
    const ValueId scale = b.constant(Tensor::of<double>(Shape(extents), weights).cast(b.dtype(c.in(0))));
    gradient = b.mul(transformed(c.cotangent(), 0, 1), scale);
  } else if (t.inverse) {
    gradient = b.mul(transformed(c.cotangent(), 0, 0), 1 / n);
  } else {
    gradient = b.mul(transformed(fit(b, c.cotangent(), t.axis, t.length), 1, 0), n);
  }
  c.give(0, fit(b, fit(b, gradient, t.axis, x[t.axis]), x.rank() - 1, x.back()));
}

// Inputs signal, frame_step, window?, frame_length?.
Graph stft_body(const InferContext& c) {
  require_inputs(c, 2);
  require_float(c, 0);
  const Shape signal = c.shape(0);
  if (signal.rank() != 2 && (signal.rank() != 3 || signal[2] < 1 || signal[2] > 2))
    throw user_error("signal must be [batch, length, 1 or 2], got {}", signal.text());
  const std::int64_t parts = signal.rank() == 2 ? 1 : signal[2], step = integer_of(c.require_constant(1), "frame_step");
  if (c.has(2) && c.shape(2).rank() != 1) throw user_error("window must have rank 1, got {}", c.shape(2).text());
  if (!c.has(2) && !c.has(3)) throw user_error("neither a window nor a frame_length is given");
  const std::int64_t length = c.has(3) ? integer_of(c.require_constant(3), "frame_length") : c.shape(2)[0];
  if (step < 1) throw user_error("frame_step is {}, expected 1 or more", step);
  if (length < 1 || length > signal[1])
    throw user_error("frames of {} do not fit into a signal of {}", length, signal[1]);
  if (c.has(2) && c.shape(2)[0] != length)
    throw user_error("the window has {} elements, a frame {}", c.shape(2)[0], length);
  const std::int64_t frames = (signal[1] - length) / step + 1;
  Body body(c);
  GraphBuilder& b = body.builder();
  Tensor positions = Tensor::empty(DType::kI64, {frames, length});
  for (std::int64_t i = 0; i < positions.numel(); ++i)
    positions.mutable_data<std::int64_t>()[i] = i / length * step + i % length;
  const ValueId rows = b.reshape(body.in(0), {signal[0], signal[1], parts});
  ValueId framed = b.op("Gather", {rows, b.constant(positions)}, {{"axis", std::int64_t{1}}});
  if (c.has(2)) framed = b.mul(framed, b.reshape(b.cast(body.in(2), c.dtype(0)), {length, 1}));
  return body.finish(
      {b.op("DFT", {framed}, {{"axis", std::int64_t{2}}, {"onesided", c.attributes().i("onesided", 1)}})});
}

}  // namespace

std::vector<Op> spectrum_ops() {
  return {{.domain = "", .name = "DFT", .since = 17, .infer = infer_dft, .forward = dft_forward, .vjp = dft_vjp},
          {.domain = "", .name = "STFT", .since = 17, .body = stft_body}};
}

}  // namespace retune
