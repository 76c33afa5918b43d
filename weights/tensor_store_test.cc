#include "weights/tensor_store.h"

#include <gmock/gmock.h>

#include "weights/onnx_test_models.h"
#include "weights/onnx_wire.h"

namespace retune {
namespace {

using namespace testing_models;
using testing::HasSubstr;

class TensorStoreTest : public FolderTest {
 protected:
  TensorStore store(const onnx::ModelProto& model) {
    write_bytes(folder_ / "m.onnx", model.SerializeAsString());
    return TensorStore(OnnxModel::open(folder_ / "m.onnx"));
  }
};

TEST_F(TensorStoreTest, AnEditMakesAnotherStoreAndLeavesTheFirst) {
  const TensorStore base = store(small_model());
  const Tensor value = Tensor::of<float>({3}, {7, 8, 9});
  const TensorStore edited = base.with("w", value);
  EXPECT_EQ(base.get("w").data<float>()[0], 1.0f);
  EXPECT_EQ(edited.get("w").data<float>()[0], 7.0f);
  EXPECT_EQ(edited.get("v").raw(), base.get("v").raw());
  EXPECT_TRUE(base.edits().empty());
  EXPECT_EQ(edited.edits().size(), 1u);
  EXPECT_EQ(edited.hash("w"), ContentHash::of(Bytes(value.raw(), value.bytes())));
  EXPECT_NE(edited.hash("w"), base.hash("w"));
  EXPECT_EQ(edited.hash("v"), base.hash("v"));
  EXPECT_EQ(edited.with("w", base.get("w")).hash("w"), base.hash("w"));
}

TEST_F(TensorStoreTest, RefusesAnotherTypeOrShapeOrName) {
  const TensorStore base = store(small_model());
  EXPECT_THAT(error_of([&] {
                base.with("w", Tensor::of<float>({4}, {1, 2, 3, 4}));
              }),
              HasSubstr("is float [3], cannot be replaced by f32 [4]"));
  EXPECT_THAT(error_of([&] { base.with("w", Tensor::of<double>({3}, {1, 2, 3})); }), HasSubstr("f64 [3]"));
  EXPECT_THAT(error_of([&] { base.get("nobody"); }), HasSubstr("nobody"));
  EXPECT_FALSE(base.contains("nobody"));
}

TEST_F(TensorStoreTest, OneNameInTwoBranchesIsOneTensorOnlyIfTheBytesAgree) {
  onnx::ModelProto model = small_model();
  const onnx::GraphProto branch = model.graph();
  *model.mutable_graph()->mutable_node(0)->add_attribute()->mutable_g() = branch;
  EXPECT_EQ(store(model).get("w").data<float>()[2], 3.0f);
  model.mutable_graph()->mutable_initializer(0)->mutable_raw_data()->at(0) = '\1';
  EXPECT_THAT(error_of([&] { store(model).get("w"); }), HasSubstr("2 different tensors named 'w'"));
}

}  // namespace
}  // namespace retune
