// Tables of signal processing, known while planning: HannWindow HammingWindow BlackmanWindow MelWeightMatrix (17).
//
//   windows   a0 - a1 cos(2 pi i / n) + a2 cos(4 pi i / n), n the size, or with periodic = 0 one less
//   mel       triangles of height 1 between bins that are equally far apart in mel = 2595 log10(1 + hertz / 700); the
//             edges are rounded down to bins, as in the standard
#include <cmath>
#include <numbers>

#include "graph/ops/families.h"
#include "graph/ops/kernel.h"
#include "graph/ops/scalar_input.h"

namespace retune {

namespace {

constexpr const char* kTable = "its output is a table";
constexpr std::int64_t kLargest = std::int64_t{1} << 31;

DType table_type(const Attributes& attributes) {
  const std::int64_t number = attributes.i("output_datatype", static_cast<std::int64_t>(DType::kF32));
  const auto dtype = number < 0 || number > 255 ? DType::kUndefined : static_cast<DType>(number);
  if (dtype_size(dtype) == 0 || dtype == DType::kBool) throw user_error("output_datatype {} is not supported", number);
  return dtype;
}

std::int64_t count_of(const Tensor& tensor, const char* what, std::int64_t least) {
  const std::int64_t count = integer_of(tensor, what);
  if (count < least || count >= kLargest)
    throw user_error("{} is {}, expected {} to {}", what, count, least, kLargest - 1);
  return count;
}

void infer_window(InferContext& c) {
  require_inputs(c, 1);
  c.set(0, table_type(c.attributes()), {count_of(c.require_constant(0), "size", 0)});
}

struct Coefficients {
  double mean, first, second;
};

constexpr Coefficients kHann{0.5, 0.5, 0}, kHamming{25.0 / 46.0, 21.0 / 46.0, 0}, kBlackman{0.42, 0.5, 0.08};

template <const Coefficients& a>
void window_forward(ForwardContext& c) {
  const std::int64_t size = c.out_type(0).shape[0];
  const bool periodic = c.attributes().i("periodic", 1) != 0;
  const double n = static_cast<double>(std::max<std::int64_t>(periodic ? size : size - 1, 1));
  Tensor table = Tensor::empty(DType::kF64, {size});
  for (std::int64_t i = 0; i < size; ++i) {
    const double angle = 2 * std::numbers::pi * static_cast<double>(i) / n;
    table.mutable_data<double>()[i] = a.mean - a.first * std::cos(angle) + a.second * std::cos(2 * angle);
  }
  c.set_out(0, table.cast(c.out_type(0).dtype));
}

// Inputs num_mel_bins, dft_length, sample_rate, lower_edge_hertz, upper_edge_hertz.
void infer_mel(InferContext& c) {
  require_inputs(c, 5);
  const std::int64_t bands = count_of(c.require_constant(0), "num_mel_bins", 0),
                     length = count_of(c.require_constant(1), "dft_length", 0);
  c.set(0, table_type(c.attributes()), {length / 2 + 1, bands});
}

double to_mel(double hertz) { return 2595 * std::log10(1 + hertz / 700); }

void mel_forward(ForwardContext& c) {
  const std::int64_t bins = c.out_type(0).shape[0], bands = c.out_type(0).shape[1];
  const auto length = static_cast<double>(count_of(c.in(1), "dft_length", 0)),
             rate = static_cast<double>(count_of(c.in(2), "sample_rate", 1));
  const double low = to_mel(number_of(c.in(3), "lower_edge_hertz")),
               high = to_mel(number_of(c.in(4), "upper_edge_hertz"));
  const double step = (high - low) / static_cast<double>(bands + 2);
  const auto bin_of = [&](std::int64_t edge) {
    const double hertz = 700 * (std::pow(10.0, (low + step * static_cast<double>(edge)) / 2595) - 1);
    const double bin = std::floor((length + 1) * hertz / rate);
    if (!(bin >= 0 && bin <= static_cast<double>(bins)))
      throw user_error("a band's edge of {} Hz is not among the {} bins of {} Hz", hertz, bins, rate);
    return static_cast<std::int64_t>(bin);
  };
  Tensor table = Tensor::zeros(DType::kF64, {bins, bands});
  double* weights = table.mutable_data<double>();
  for (std::int64_t band = 0; band < bands; ++band) {
    const std::int64_t from = bin_of(band), top = bin_of(band + 1), to = bin_of(band + 2);
    const auto rise = static_cast<double>(top - from), fall = static_cast<double>(to - top);
    for (std::int64_t bin = from; bin <= std::min(top, bins - 1); ++bin)
      weights[bin * bands + band] = rise == 0 ? 1 : static_cast<double>(bin - from) / rise;
    for (std::int64_t bin = top; bin < std::min(to, bins); ++bin)
      weights[bin * bands + band] = static_cast<double>(to - bin) / fall;
  }
  c.set_out(0, table.cast(c.out_type(0).dtype));
}

Op window(std::string name, void (*forward)(ForwardContext&)) {
  return {
      .domain = "", .name = std::move(name), .since = 17, .infer = infer_window, .forward = forward, .no_vjp = kTable};
}

}  // namespace

std::vector<Op> spectral_table_ops() {
  return {window("HannWindow", window_forward<kHann>),
          window("HammingWindow", window_forward<kHamming>),
          window("BlackmanWindow", window_forward<kBlackman>),
          {.domain = "",
           .name = "MelWeightMatrix",
           .since = 17,
           .infer = infer_mel,
           .forward = mel_forward,
           .no_vjp = kTable}};
}

}  // namespace retune
