#include "weights/tensor_store.h"

#include <mutex>

#include "tensor/error.h"
#include "weights/tensor_payload.h"

namespace retune {

struct TensorStore::Edit {
  explicit Edit(Tensor tensor) : value(std::move(tensor)) {}

  const ContentHash& hash() const {
    std::call_once(once, [this] { computed = ContentHash::of(Bytes(value.raw(), value.bytes())); });
    return computed;
  }

  Tensor value;
  mutable std::once_flag once;
  mutable ContentHash computed;
};

Tensor TensorStore::get(const std::string& name) const {
  if (const auto edit = edits_.find(name); edit != edits_.end()) return edit->second->value;
  return model_.tensor(tensor_meant(model_, name));
}

ContentHash TensorStore::hash(const std::string& name) const {
  if (const auto edit = edits_.find(name); edit != edits_.end()) return edit->second->hash();
  return model_.tensor_hash(tensor_meant(model_, name));
}

TensorStore TensorStore::with(const std::string& name, Tensor value) const {
  const onnx::TensorProto& stored = tensor_meant(model_, name);
  const Shape shape(std::vector<std::int64_t>(stored.dims().begin(), stored.dims().end()));
  const StoredType type = stored_type(stored.data_type());
  if (value.dtype() != type.dtype || value.shape() != shape)
    throw user_error("tensor '{}' in {} is {} {}, cannot be replaced by {}", printable(name), model_.path().string(),
                     type.name, shape.text(), value.text());
  TensorStore result = *this;
  result.edits_[name] = std::make_shared<const Edit>(std::move(value));
  return result;
}

TensorEdits TensorStore::edits() const {
  TensorEdits result;
  for (const auto& [name, edit] : edits_) result.emplace(name, edit->value);
  return result;
}

const onnx::TensorProto& tensor_meant(const OnnxModel& model, const std::string& name) {
  const std::vector<const onnx::TensorProto*>& same_name = model.tensors_named(name);
  if (same_name.size() == 1) return *same_name.front();
  const Tensor first = model.tensor(*same_name.front());
  for (std::size_t i = 1; i < same_name.size(); ++i)
    if (!identical(first, model.tensor(*same_name[i])))
      throw user_error("{} holds {} different tensors named '{}'; rename them to say which is meant",
                       model.path().string(), same_name.size(), printable(name));
  return *same_name.front();
}

}  // namespace retune
