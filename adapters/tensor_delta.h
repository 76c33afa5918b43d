// What an edit adds to one weight: a matrix or other tensor of f32 differences, and the stored tensors that it goes to.
//
// A delta is kept in site coordinates, W in R^{out x in} of y = W x (methods.md 1.1), whatever the orientation in which
// the model stores the weight. Its targets say where it goes: folded duplicates, both branches of an If and tied
// tensors are several targets of one delta; a packed gate|up matrix is a slice of a target. Orientation is part of a
// target and never guessed from shapes.
//
//   TensorDelta delta{.site = "decoder.block.3.mlp.down", .shape = {out, in}, .values = LowRankDelta{u, v},
//                     .targets = {{.file = "onnx/decoder.onnx", .initializer = "onnx::MatMul_4711", .transposed = true,
//                                  .stored = DType::kF32, .sha256 = ...}}};
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "tensor/content_hash.h"
#include "tensor/tensor.h"

namespace retune {

// Rows [begin, begin + count) of a stored tensor along an axis of the stored tensor.
struct Slice {
  int axis = 0;
  std::int64_t begin = 0;
  std::int64_t count = 0;
  friend bool operator==(const Slice&, const Slice&) = default;
};

struct DeltaTarget {
  std::string file{};            // relative to the bundle: "onnx/decoder_model_merged.onnx"
  std::string initializer{};     // the name in that file
  bool transposed = false;       // the stored tensor, or the slice of it, is W^T: [in, out]; matrices only
  std::optional<Slice> slice{};  // nothing: the whole stored tensor
  DType stored = DType::kF32;    // f32, f16 or bf16
  ContentHash sha256{};          // of the base model's payload (all of the stored tensor, row-major, little-endian)
  friend bool operator==(const DeltaTarget&, const DeltaTarget&) = default;
};

struct DenseDelta {
  Tensor values;  // f32, the delta's shape
};
struct LowRankDelta {
  Tensor u;  // f32 [out, r]
  Tensor v;  // f32 [in, r]; the delta is u v^T: each element summed over r in f64, then rounded to f32
};
struct SparseDelta {
  Tensor indices;  // i64 [n], flat row-major indices into the delta's shape, ascending
  Tensor values;   // f32 [n]
};

struct TensorDelta {
  std::string site{};  // a label: "decoder.block.3.mlp.down", "init:NAME"
  Shape shape{};       // [out, in] for a matrix; else the stored shape (of the slice)
  std::variant<DenseDelta, LowRankDelta, SparseDelta> values{};
  std::vector<DeltaTarget> targets{};
};

// "dense", "low-rank" or "sparse".
std::string_view form_name(const TensorDelta& delta);

// User error naming the site if the parts do not fit each other: types, shapes, order of the indices, values that are
// not finite, no target, a target that says nothing sensible.
void check(const TensorDelta& delta);

// The whole delta, f32, in its own shape.
Tensor materialise(const TensorDelta& delta);

// The shape that the target's stored tensor must have along every axis but the sliced one, which must be at least the
// slice's end: true if `stored` is such a shape.
bool fits(const TensorDelta& delta, const DeltaTarget& target, const Shape& stored);

// Adds the delta to a stored tensor's f32 master copy, element by element in f32. An element whose difference is zero
// keeps its bits, -0.0 and NaN too. `master` is in stored orientation, not yet shared; `fits` must hold.
void add_to(Tensor& master, const TensorDelta& delta, const DeltaTarget& target);
// The same in f64 into numel(stored) sums, for accounting.
void add_to(std::vector<double>& sums, const Shape& stored, const TensorDelta& delta, const DeltaTarget& target);

// Frobenius norm, of what add_to adds.
double norm(const TensorDelta& delta);
// No element differs from zero.
bool is_zero(const TensorDelta& delta);
// Singular values above max(out, in) * 2^-23 * the largest, i.e. above the rounding of f32. Nothing for tensors that
// are not matrices, and where it would take minutes: a rank or a smaller side above 1,024, dense or sparse beyond 2^26
// elements.
std::optional<std::int64_t> numerical_rank(const TensorDelta& delta);
// Bytes of the representation.
std::int64_t stored_bytes(const TensorDelta& delta);

// A dense delta as a sparse one where that is smaller (a third of the elements or fewer differ from zero); else as it
// was.
TensorDelta compressed(TensorDelta delta);
// Each value times `factor`, rounded to f32; of a low-rank delta u carries it.
TensorDelta scaled(const TensorDelta& delta, double factor);

}  // namespace retune
