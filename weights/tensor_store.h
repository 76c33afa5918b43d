// The named tensors of one model file with some of them replaced. A value: with() gives another store and leaves this
// one as it is, and a tensor is copied only when somebody writes one; all others stay views of the map.
//
//   TensorStore base(OnnxModel::open("decoder.onnx"));
//   TensorStore edited = base.with("layers.3.down", new_weight);
//   write_edited(edited.model(), edited.edits(), out);
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tensor/content_hash.h"
#include "tensor/tensor.h"
#include "weights/onnx_model.h"

namespace retune {

// New values by tensor name, each with the stored type and shape.
using TensorEdits = std::map<std::string, Tensor>;

class TensorStore {
 public:
  explicit TensorStore(OnnxModel model) : model_(std::move(model)) {}

  const OnnxModel& model() const { return model_; }
  const std::vector<std::string>& names() const { return model_.tensor_names(); }
  bool contains(const std::string& name) const { return model_.has_tensor(name); }
  // The edited tensor, else the stored one. User errors: no such tensor, or several by that name with different bytes.
  Tensor get(const std::string& name) const;
  // SHA-256 of its bytes; computed once, shared by all stores that hold the same tensor.
  ContentHash hash(const std::string& name) const;
  // This store with one tensor replaced, wherever the name occurs. User error unless type and shape are the stored
  // ones.
  TensorStore with(const std::string& name, Tensor value) const;
  TensorEdits edits() const;

 private:
  struct Edit;
  OnnxModel model_;
  std::map<std::string, std::shared_ptr<const Edit>> edits_;
};

// The tensor that a name means in a model: several messages of that name must hold the same type, shape and bytes. User
// errors as for TensorStore::get.
const onnx::TensorProto& tensor_meant(const OnnxModel& model, const std::string& name);

}  // namespace retune
