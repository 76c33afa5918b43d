// What a TensorProto stores, by ONNX's rules (onnx.proto, TensorProto): raw little-endian bytes, or values in a typed
// field: f32 in float_data, f64 in double_data, i64 in int64_data, u32 and u64 in uint64_data, everything narrower and
// bool, f16 (as bits), bf16 (as bits) in int32_data.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"
#include "weights/onnx_wire.h"

namespace retune {

struct StoredType {
  std::string_view name;  // ONNX's, in lower case
  DType dtype;            // kUndefined for types that no Tensor holds
  unsigned bits;          // of one element; 0 where it has no fixed size (strings) or the type is unknown
};
// Never fails; a number that no release of ONNX gives a meaning is "type N".
StoredType stored_type(std::int32_t data_type);

// "tensor 'name' in file", for messages.
std::string tensor_label(const TensorRecord& record, const std::string& file);

// Checks that the payload is as long as type and dims ask, without reading more than the heads of its fields; of
// varints only that there may be enough. `bytes` is the file that holds the payload: the ONNX file, or the external
// one. User errors.
void check_payload(const TensorRecord& record, Bytes bytes, const std::string& file);

// The range of an external tensor within its file, checked by check_payload.
Span external_span(const TensorRecord& record, Bytes external);

// The payload as a tensor: a view of `bytes` (kept alive by owner) where raw bytes are aligned, else a copy. `bytes` is
// the file that holds the payload: the ONNX file, or the external one. User errors: a type without DType, too few or
// too many values, values that the type does not hold, bools other than 0 and 1.
Tensor decode_payload(const TensorRecord& record, Bytes bytes, const std::shared_ptr<const void>& owner,
                      const std::string& file);

// The payload as it is stored, whatever the type; where it is not one range, copied into `copies`.
Bytes stored_payload(const TensorRecord& record, Bytes bytes, std::deque<std::string>& copies);

// Splices that store `value` (of the record's type and shape) where the old payload was: raw_data in place, typed
// fields value by value in the same fields, packed or not. Inserted memory is in `value` and in `copies`.
std::vector<Splice> replace_payload(const TensorRecord& record, Bytes bytes, const Tensor& value,
                                    std::deque<std::string>& copies, const std::string& file);

}  // namespace retune
