// A graph insert as JSON, in patches (docs/formats/patch.md). Its tensors lie beside it, in the order of `tensors`.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <vector>

#include "adapters/graph_insert.h"

namespace retune {

// {"name", "file", "per_call", "opset", "taps": [NAME], "own": {TAP: NAME}, "tensors": [NAME], "nodes": [{"op",
// "inputs": [NAME], "outputs": [NAME], "attributes": {NAME: {KIND: VALUE}}}], "replaces": {VALUE OF THE FILE: VALUE OF
// THE BODY}}; KIND is "i", "f", "s", "ints", "floats" or "strings"; an absent input has the empty name.
nlohmann::ordered_json insert_json(const GraphInsert& insert);

// Its tensors, in their order.
std::vector<Tensor> insert_tensors(const GraphInsert& insert);

// Back; `tensor_at` gives the tensor at an index. The same insert: hash_of() agrees. User errors: all that check()
// refuses, a name that nothing before it has; nlohmann's errors where a key is missing or of another type.
GraphInsert insert_from(const nlohmann::ordered_json& json, const std::function<Tensor(std::size_t index)>& tensor_at);

}  // namespace retune
