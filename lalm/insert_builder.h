// Writes the body of a GraphInsert (adapters/graph_insert.h) for one file of a bundle: taps by the names that sites and
// the linked graph use, and operators in the form that the file's operator set has.
//
//   InsertBuilder b(bundle, "grace", site.value);          // the file that computes site.value
//   const ValueId q = b.last_row(b.tap(site.key));                                   // [B, 1, in]
//   const ValueId d = b.l2_norm(b.op("Sub", {q, b.tensor(keys, "keys")}));           // keys [n, in]: [B, n, 1]
//   ...
//   b.replace(site.value, b.op("Where", {hit, value, b.tap(site.value)}));
//   b.per_call();                                          // it looks for the last row of a call
//   patch.inserts.push_back(b.finish());
//
// Floats are f32 here whatever the file computes in: tap() widens, replace() narrows. In f32 models neither adds a
// node. Nothing is run or inferred: shapes that do not fit show, with the node's name, when the model is first asked.
//
// Operators that every set from 11 on writes alike, for op(): Abs Add And ArgMax ArgMin Cast Concat Div Equal Erf Exp
// Expand Flatten Gather GatherND Gemm Greater Identity Less Log MatMul Mul Neg Not Or Pow Range Reciprocal Relu Reshape
// ScatterND Shape Sigmoid Slice Softmax(axis=-1) Sqrt Sub Tanh Tile TopK Transpose Where. Max and Min of floats too.
// GreaterOrEqual and LessOrEqual came with 12: negate Less and Greater. Gelu, Swish and CastLike came later still.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "adapters/graph_insert.h"
#include "lalm/bundle.h"

namespace retune {

class InsertBuilder {
 public:
  // `value`: a value of the linked graph that the file computes, such as Site::value; it names the file. User errors:
  // no such value, or one that only the linking makes. `bundle` outlives the builder.
  InsertBuilder(const Bundle& bundle, std::string name, const std::string& value);

  const std::string& file() const { return file_; }
  int opset() const { return opset_; }

  // A value of the file by its name in the linked graph: Site::key, Site::value, an input such as
  // "past_key_values.0.key". It is the value as it is now: whoever replaced it in the stack beneath has done so. Floats
  // are widened to f32. User error for a value that is not of this file.
  ValueId tap(const std::string& linked);
  // The same in the type that the file has it in.
  ValueId tap_as_stored(const std::string& linked);

  // What the module itself gives, whatever the stack beneath has put in its place, widened likewise.
  ValueId tap_own(const std::string& linked);

  // A constant of the body: what the insert remembers. Exported as an initializer under `label`, which need not be
  // unique; f32, f16 or bf16 (then Cast it), or integers.
  ValueId tensor(Tensor values, const std::string& label);
  ValueId scalar(double value);                         // f32, rank 0
  ValueId ints(const std::vector<std::int64_t>& list);  // i64 [n]

  // A node of one output, of several.
  ValueId op(std::string_view op, std::vector<ValueId> inputs, Attributes attributes = {});
  std::vector<ValueId> ops(std::string_view op, std::vector<ValueId> inputs, Attributes attributes, int outputs);
  ValueId cast(ValueId x, DType type);

  // Those whose axes are an attribute in one operator set and an input in another.
  enum class KeepDims { kNo, kYes };
  // "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2", ...
  ValueId reduce(std::string_view op, ValueId x, const std::vector<std::int64_t>& axes, KeepDims keep);
  ValueId unsqueeze(ValueId x, const std::vector<std::int64_t>& axes);
  ValueId squeeze(ValueId x, const std::vector<std::int64_t>& axes);

  // Of x [.., T, D]: the length of an axis, i64 [1].
  ValueId extent(ValueId x, std::int64_t axis);
  ValueId l2_norm(ValueId x);         // over the last axis, kept: [.., T, 1]
  ValueId mean_positions(ValueId x);  // over the rows of the call, kept: [.., 1, D]
  ValueId last_row(ValueId x);        // of the call: [.., 1, D]
  ValueId is_last_row(ValueId x);     // bool [T, 1], to broadcast against x
  // Rows that the cache held before this call, i64 [1]: 0 in the first call, and always where the decoder has no cache.
  // Only whether it is 0 is sure: a client may keep room at the end of its cache.
  ValueId past_length();
  ValueId is_first_call();  // bool [1]

  // From now on `linked` is `value` (f32 floats are narrowed to the file's type) for all that reads it. Several may be
  // replaced, each once. User errors: not of this file, an input of the graph, twice.
  void replace(const std::string& linked, ValueId value);
  void per_call() { insert_.per_call = true; }
  // Checked; the builder is spent.
  GraphInsert finish();

 private:
  std::string name_in_file(const std::string& linked) const;
  std::pair<ValueId, ValueId> taps_of(const std::string& linked);  // as stored, in f32
  std::string fresh(const std::string& label) const;               // that no value of the body has

  const Bundle& bundle_;
  std::string file_;
  int opset_ = 0;
  GraphInsert insert_;
  Graph body_;
  std::map<std::string, std::pair<ValueId, ValueId>> taps_;  // by name in the file: as stored, in f32
  std::map<std::string, ValueId> own_taps_;                  // by name in the body, in f32
};

}  // namespace retune
