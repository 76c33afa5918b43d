#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "graph/confined.h"
#include "graph/op_attack.h"
#include "tensor/rng.h"

namespace retune {

namespace {

constexpr std::int64_t kLeast = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

// clang-format off
const std::vector<std::int64_t> kIntegers = {
    0, -1, 1, 2, -2, 3, 7, 64, 1000, -1000, 1LL << 31, -(1LL << 31), (1LL << 31) - 1, 1LL << 32, 1LL << 40,
    -(1LL << 40), 1LL << 62, kMost, kMost - 1, kLeast, kLeast + 1,
};
const std::vector<double> kNumbers = {
    0, -1, 1, 1e-30, 1e30, -1e30, 1e300, 0.5, std::numeric_limits<double>::infinity(),
    -std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN(),
};
const std::vector<std::string> kWords = {
    "", "constant", "reflect", "edge", "wrap", "linear", "cubic", "nearest", "add", "mul", "min", "max", "none",
    "SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET", "tanh", "sum", "mean", "bidirectional", "reverse", "ij, jk->ik",
    "i..., ...i->", "half_pixel", "align_corners", "tf_crop_and_resize", "Tanh", "DCR", "CRD", "bilinear", "zeros",
    "ii->i", "->", "\n\x1b[2J",
};
const std::vector<std::string> kIntegerNames = {
    "axis", "k", "keepdims", "largest", "to", "exclusive", "reverse", "group", "num_groups", "num_outputs",
    "batch_dims", "upper", "start", "end", "allowzero", "fmod", "blocksize", "dtype", "ceil_mode", "storage_order",
    "count_include_pad", "hidden_size", "num_heads", "kv_num_heads", "q_num_heads", "is_causal", "local_window_size",
    "do_rotary", "rotary_embedding_dim", "interleaved", "is_packed_batching", "scale", "block_size", "bits", "N", "K",
    "quantize_axis", "gather_axis", "onesided", "inverse", "select_last_index", "noop_with_empty_axes", "saturate",
    "training_mode", "stash_type", "p", "output_datatype", "align_corners", "time_axis", "batch_axis", "direction",
    "layout", "linear_before_reset", "antialias", "exclude_outside", "center_point_box", "sorted", "ignore_index",
    "sample_size", "transA", "transB", "unidirectional",
};
const std::vector<std::string> kListNames = {
    "axes", "pads", "strides", "dilations", "kernel_shape", "perm", "split", "shape", "starts", "ends", "steps",
    "output_shape", "output_padding", "scales", "repeats", "sizes", "value_ints", "squeeze_dims", "border",
};
const std::vector<std::string> kNumberNames = {
    "alpha", "beta", "epsilon", "scale", "softcap", "gamma", "momentum", "ratio", "min", "max", "value", "clip",
    "spatial_scale", "lambd", "bias",
};
const std::vector<std::string> kWordNames = {
    "mode", "auto_pad", "reduction", "direction", "equation", "activation", "coordinate_transformation_mode",
    "nearest_mode", "padding_mode", "rounding_mode", "approximate", "keep_aspect_ratio_policy",
};
// clang-format on

class Bender {
 public:
  Bender(OpCase op_case, Rng rng) : case_(std::move(op_case)), rng_(rng) {}

  OpCase bent() {
    for (std::uint64_t left = 1 + rng_.below(3); left > 0; --left) bend_once();
    // What an input holds is known while planning where it is a constant.
    for (std::size_t i = 0; i < case_.inputs.size(); ++i)
      if (rng_.below(8) == 0) case_.constants.push_back(static_cast<int>(i));
    std::erase_if(case_.gradients, [this](int i) {
      return i >= static_cast<int>(case_.inputs.size()) || !case_.inputs[static_cast<std::size_t>(i)].defined() ||
             std::count(case_.constants.begin(), case_.constants.end(), i) != 0;
    });
    return case_;
  }

 private:
  std::vector<std::int64_t> integers() {
    if (rng_.below(40) == 0) return std::vector<std::int64_t>(1'000'000, rng_.choose(kIntegers));
    std::vector<std::int64_t> list(rng_.below(6));
    for (std::int64_t& item : list) item = rng_.choose(kIntegers);
    return list;
  }

  void bend_once() {
    switch (rng_.below(8)) {
      case 0:
      case 1:
        return bend_attribute();
      case 2:
        return add_attribute();
      case 3:
      case 4:
        return bend_values();
      case 5:
        return bend_shape();
      case 6:
        return bend_type();
      default:
        return bend_arity();
    }
  }

  void bend_attribute() {
    if (case_.attributes.items().empty()) return add_attribute();
    auto at = case_.attributes.items().begin();
    std::advance(at, static_cast<std::ptrdiff_t>(rng_.below(case_.attributes.items().size())));
    const std::string name = at->first;
    AttributeValue value = at->second;
    if (auto* list = std::get_if<std::vector<std::int64_t>>(&value);
        list != nullptr && !list->empty() && rng_.below(4) != 0)
      (*list)[rng_.below(list->size())] = rng_.choose(kIntegers);
    else if (list != nullptr)
      *list = integers();
    else if (auto* integer = std::get_if<std::int64_t>(&value))
      *integer = rng_.choose(kIntegers);
    else if (auto* number = std::get_if<double>(&value))
      *number = rng_.choose(kNumbers);
    else if (auto* word = std::get_if<std::string>(&value))
      *word = rng_.choose(kWords);
    else if (auto* numbers = std::get_if<std::vector<double>>(&value))
      *numbers = {rng_.choose(kNumbers), rng_.choose(kNumbers)};
    if (rng_.below(16) == 0) value = rng_.choose(kIntegers);
    case_.attributes.set(name, value);
  }

  void add_attribute() {
    switch (rng_.below(5)) {
      case 0:
      case 1:
        return case_.attributes.set(rng_.choose(kIntegerNames), rng_.choose(kIntegers));
      case 2:
        return case_.attributes.set(rng_.choose(kListNames), integers());
      case 3:
        return case_.attributes.set(rng_.choose(kNumberNames), rng_.choose(kNumbers));
      default:
        return case_.attributes.set(rng_.choose(kWordNames), rng_.choose(kWords));
    }
  }

  std::size_t any_input() { return rng_.below(case_.inputs.size()); }

  void bend_values() {
    if (case_.inputs.empty()) return;
    Tensor& input = case_.inputs[any_input()];
    if (!input.defined() || is_packed(input.dtype()) || input.numel() == 0) return;
    if (input.dtype() == DType::kI64 && rng_.below(6) == 0) {
      input = Tensor::vector(integers());
      return;
    }
    const Tensor number = is_float(input.dtype()) ? Tensor::scalar(rng_.choose(kNumbers)).cast(input.dtype())
                                                  : Tensor::scalar(rng_.choose(kIntegers)).cast(input.dtype());
    const std::size_t size = dtype_size(input.dtype());
    input = input.copy();
    std::copy_n(number.raw(), size, input.mutable_raw() + rng_.below(static_cast<std::uint64_t>(input.numel())) * size);
  }

  // Another shape of few elements, or of none and huge extents.
  void bend_shape() {
    if (case_.inputs.empty()) return;
    Tensor& input = case_.inputs[any_input()];
    if (!input.defined() || is_packed(input.dtype())) return;
    std::vector<std::int64_t> extents = input.shape().extents();
    const auto place = [&] { return extents.begin() + static_cast<std::ptrdiff_t>(rng_.below(extents.size() + 1)); };
    switch (rng_.below(6)) {
      case 0:
        extents.insert(place(), 1);
        break;
      case 1:
        if (!extents.empty()) extents.erase(extents.begin() + static_cast<std::ptrdiff_t>(rng_.below(extents.size())));
        break;
      case 2:
        if (!extents.empty()) extents[rng_.below(extents.size())] = static_cast<std::int64_t>(rng_.below(4));
        break;
      case 3:
        extents.assign(rng_.below(2) == 0 ? 0 : 1, 1);
        break;
      case 4:
        if (extents.size() < 2) return;
        for (std::int64_t& extent : extents) extent = rng_.below(2) == 0 ? extent : std::abs(extent) + 1;
        extents[rng_.below(extents.size())] = 1LL << (34 + rng_.below(10));
        extents[rng_.below(extents.size())] = 0;
        break;
      default:
        extents.assign(33 + rng_.below(40), 1);
    }
    std::int64_t count = 1;
    bool empty = false;
    for (const std::int64_t extent : extents) {
      empty = empty || extent == 0;
      if (__builtin_mul_overflow(count, std::max<std::int64_t>(extent, 1), &count)) return;
    }
    if (!empty && count > 1 << 16) return;
    Tensor bent = Tensor::zeros(input.dtype(), Shape(extents));
    const std::size_t bytes = std::min(bent.bytes(), input.bytes());
    if (bytes > 0) std::copy_n(input.raw(), bytes, bent.mutable_raw());
    input = bent;
  }

  void bend_type() {
    if (case_.inputs.empty()) return;
    Tensor& input = case_.inputs[any_input()];
    static const std::vector<DType> kTypes = {DType::kF32, DType::kF64,  DType::kF16, DType::kBF16, DType::kI64,
                                              DType::kI32, DType::kBool, DType::kU8,  DType::kI8};
    if (input.defined() && !is_packed(input.dtype())) input = input.cast(rng_.choose(kTypes));
  }

  void bend_arity() {
    switch (rng_.below(5)) {
      case 0:
        if (!case_.inputs.empty()) case_.inputs.pop_back();
        return;
      case 1:
        case_.inputs.push_back(Tensor::vector(integers()));
        if (rng_.below(2) == 0) case_.constants.push_back(static_cast<int>(case_.inputs.size()) - 1);
        return;
      case 2:
        if (!case_.inputs.empty()) case_.inputs[any_input()] = Tensor();
        return;
      case 3:
        case_.outputs = 1 + static_cast<int>(rng_.below(5));
        return;
      default:
        case_.version = 1 + static_cast<int>(rng_.below(28));
    }
  }

  OpCase case_;
  Rng rng_;
};

std::string described(const OpCase& op_case) {
  std::string text = fmt::format("{}.{}({})", op_case.domain, op_case.op, op_case.version);
  for (const Tensor& input : op_case.inputs) {
    text += fmt::format(" {}", input.defined() ? input.text() : "-");
    if (input.defined() && !is_packed(input.dtype()) && input.numel() <= 8 && input.numel() > 0)
      text += fmt::format("={}", fmt::join(input.to_f64(), ","));
  }
  for (const auto& [name, value] : op_case.attributes.items()) {
    text += fmt::format(" {}", name);
    if (const auto* integer = std::get_if<std::int64_t>(&value)) text += fmt::format("={}", *integer);
    if (const auto* number = std::get_if<double>(&value)) text += fmt::format("={}", *number);
    if (const auto* word = std::get_if<std::string>(&value)) text += fmt::format("={}", *word);
    if (const auto* list = std::get_if<std::vector<std::int64_t>>(&value))
      text +=
          list->size() > 9 ? fmt::format("=({} integers)", list->size()) : fmt::format("=[{}]", fmt::join(*list, ","));
  }
  text += fmt::format(" constants [{}] outputs {}", fmt::join(op_case.constants, ","), op_case.outputs);
  return text;
}

}  // namespace

void attack(const OpCase& op_case, int rounds) {
  if (op_case.domain == "retune") return;
  const Ending ending = run_confined([&](const Say& say) {
    for (int round = 0; round < rounds; ++round) {
      const OpCase bent = Bender(op_case, Rng(1).fork(op_case.op, static_cast<std::uint64_t>(round))).bent();
      restart_time();
      say(described(bent));
      say(message_of_run([&] {
        Session session({.threads = 1});
        run_case(session, bent);
      }));
    }
  });
  for (std::size_t i = 0; i + 1 < ending.said.size(); i += 2)
    EXPECT_FALSE(ending.said[i + 1].starts_with("wrong")) << ending.said[i] << "\n" << ending.said[i + 1];
  EXPECT_EQ(ending.signal, 0) << (ending.said.empty() ? "" : ending.said.back());
}

}  // namespace retune
