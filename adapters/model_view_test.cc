#include "adapters/model_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "adapters/patch_arithmetic.h"
#include "tensor/error.h"
#include "tensor/rng.h"

namespace retune {
namespace {

using ::testing::HasSubstr;

const ContentHash kGraph = ContentHash::of("graph");

Tensor random_tensor(Shape shape, std::uint64_t seed, DType dtype = DType::kF32) {
  Rng rng(seed);
  Tensor result = Tensor::empty(DType::kF32, std::move(shape));
  for (std::int64_t i = 0; i < result.numel(); ++i) result.mutable_data<float>()[i] = static_cast<float>(rng.normal());
  return result.cast(dtype);
}

// Three matrices of three types, stored as [in = 6, out = 4], a bias, and `twin`, a second name for the first matrix's
// initializer.
ModelView base_view(std::uint64_t seed = 1) {
  const Tensor w = random_tensor({6, 4}, seed);
  Parameters parameters{{"w", {w, version_of(w)}},
                        {"twin", {w, version_of(w)}},
                        {"h", {random_tensor({6, 4}, seed + 1, DType::kF16), {}}},
                        {"b", {random_tensor({6, 4}, seed + 2, DType::kBF16), {}}},
                        {"bias", {random_tensor({4}, seed + 3), {}}}};
  return ModelView::of(kGraph, std::move(parameters),
                       {{"w", {"m.onnx", "W"}},
                        {"twin", {"m.onnx", "W"}},
                        {"h", {"m.onnx", "H"}},
                        {"b", {"m.onnx", "B"}},
                        {"bias", {"m.onnx", "bias"}}},
                       {{"m.onnx", ContentHash::of("file")}});
}

DeltaTarget target_of(const ModelView& view, const std::string& value) {
  return {.file = view.origins().at(value).file,
          .initializer = view.origins().at(value).initializer,
          .transposed = view.parameters().at(value).tensor.shape().rank() == 2,
          .stored = view.parameters().at(value).tensor.dtype(),
          .sha256 = view.payload_hash(value)};
}

Patch empty_patch(const ModelView& view) {
  Patch patch;
  patch.method = "test";
  patch.graph_hash = view.graph_hash();
  patch.files = view.files();
  patch.beneath = view.patch_ids();
  return patch;
}

std::shared_ptr<const Patch> patch_for(const ModelView& view, const std::vector<std::string>& values,
                                       std::uint64_t seed = 50) {
  Patch patch = empty_patch(view);
  for (const std::string& value : values)
    patch.deltas.push_back({"site." + value,
                            {4, 6},
                            LowRankDelta{random_tensor({4, 1}, seed), random_tensor({6, 1}, seed + 1)},
                            {target_of(view, value)}});
  return std::make_shared<const Patch>(std::move(patch));
}

// Same handles and versions, not just the same numbers.
bool same_feeds(const ModelView& a, const ModelView& b, const std::string& value) {
  const Feed &x = a.parameters().at(value), &y = b.parameters().at(value);
  return x.tensor.raw() == y.tensor.raw() && x.version == y.version;
}

std::string error_of(const ModelView& view, Patch patch) {
  try {
    (void)view.with(std::make_shared<const Patch>(std::move(patch)));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    return error.what();
  }
  return "no error";
}

TEST(ModelView, AppliesInStoredOrientation) {
  const ModelView base = base_view();
  const auto patch = patch_for(base, {"w"});
  const ModelView edited = base.with(patch);
  const Tensor delta = materialise(patch->deltas[0]);
  for (int out = 0; out < 4; ++out)
    for (int in = 0; in < 6; ++in)
      EXPECT_EQ(edited.parameters().at("w").tensor.data<float>()[in * 4 + out],
                base.parameters().at("w").tensor.data<float>()[in * 4 + out] + delta.data<float>()[out * 6 + in]);
  EXPECT_TRUE(identical(edited.parameters().at("twin").tensor, edited.parameters().at("w").tensor));
  EXPECT_EQ(edited.edited(), (std::vector<std::string>{"twin", "w"}));
  EXPECT_EQ(edited.edits().size(), 1u) << "one initializer, whatever it is called in the graph";
  for (const std::string untouched : {"h", "b", "bias"}) EXPECT_TRUE(same_feeds(base, edited, untouched));
  EXPECT_NE(edited.parameters().at("w").version, base.parameters().at("w").version);
  EXPECT_NE(edited.hash(), base.hash());
}

TEST(ModelView, RevertRestoresEveryByte) {
  const ModelView base = base_view();
  const ModelView edited = base.with(patch_for(base, {"w", "h", "b"}));
  const ModelView reverted = edited.without_top();
  for (const auto& [value, feed] : base.parameters()) EXPECT_TRUE(same_feeds(base, reverted, value)) << value;
  EXPECT_EQ(reverted.hash(), base.hash());
  EXPECT_TRUE(reverted.edits().empty());
  EXPECT_THROW((void)reverted.without_top(), Error);
}

TEST(ModelView, ApplyAfterRevertGivesTheSameBytesAndVersions) {
  const ModelView base = base_view();
  const auto patch = patch_for(base, {"w", "h", "b"});
  const ModelView first = base.with(patch);
  const ModelView second = first.without_top().with(patch);
  for (const auto& [value, feed] : first.parameters()) {
    EXPECT_TRUE(identical(feed.tensor, second.parameters().at(value).tensor)) << value;
    EXPECT_EQ(feed.version, second.parameters().at(value).version) << value;
  }
  EXPECT_EQ(first.hash(), second.hash());
}

TEST(ModelView, StacksAndTakesOffTheTopOnly) {
  const ModelView base = base_view();
  const auto below = patch_for(base, {"w", "h"}, 50);
  const ModelView one = base.with(below);
  const auto above = patch_for(one, {"w", "b"}, 60);
  const ModelView two = one.with(above);
  EXPECT_EQ(two.patch_ids(), (std::vector<ContentHash>{below->id(), above->id()}));
  const ModelView back = two.without_top();
  for (const auto& [value, feed] : one.parameters()) {
    EXPECT_TRUE(identical(feed.tensor, back.parameters().at(value).tensor)) << value;
    EXPECT_EQ(feed.version, back.parameters().at(value).version) << value;
  }
  EXPECT_TRUE(same_feeds(one, back, "h"));
  EXPECT_TRUE(same_feeds(base, back, "b"));
  EXPECT_EQ(back.edited(), one.edited());
  EXPECT_THAT(error_of(base, *above), HasSubstr("does not go on this stack"));
  EXPECT_THAT(error_of(two, *above), HasSubstr("does not go on this stack"));
}

TEST(ModelView, TheMasterSeedsTheNextEdit) {
  // Ten steps of a quarter of bf16's spacing at 1 (2^-7): each alone rounds away, together they are 2.5 spacings.
  const Tensor one = Tensor::of<BF16>({1}, {BF16::from(1.0f)});
  ModelView view = ModelView::of(kGraph, {{"x", {one, {}}}}, {{"x", {"m.onnx", "x"}}});
  for (int step = 0; step < 10; ++step) {
    Patch patch = empty_patch(view);
    patch.deltas.push_back({"x", {1}, DenseDelta{Tensor::of<float>({1}, {0x1p-9f})}, {target_of(view, "x")}});
    view = view.with(std::make_shared<const Patch>(std::move(patch)));
  }
  EXPECT_EQ(view.master("x").data<float>()[0], 1.0f + 10 * 0x1p-9f);
  EXPECT_EQ(view.parameters().at("x").tensor.to_f64()[0], 1.0 + 0x1p-6);  // 2.5 spacings: a tie, to the even 2
}

TEST(ModelView, RoundingShareIsWhatTheStoredTypeLoses) {
  // f16 near 1 has a spacing of 2^-10. Differences: 0.75 spacings rounds to 1 (error 0.25), 2 spacings are exact.
  const auto share = [](DType dtype, float spacing) {
    const Tensor ones = Tensor::of<float>({2}, {1, 1}).cast(dtype);
    const ModelView base = ModelView::of(kGraph, {{"x", {ones, {}}}}, {{"x", {"m.onnx", "x"}}});
    Patch patch = empty_patch(base);
    patch.deltas.push_back(
        {"x", {2}, DenseDelta{Tensor::of<float>({2}, {0.75f * spacing, 2 * spacing})}, {target_of(base, "x")}});
    const ModelView edited = base.with(std::make_shared<const Patch>(std::move(patch)));
    EXPECT_EQ(edited.parameters().at("x").tensor.to_f64(), (std::vector<double>{1.0 + spacing, 1.0 + 2 * spacing}));
    EXPECT_EQ(base.rounding_share("x"), 0.0);
    return edited.rounding_share("x");
  };
  const double expected = 0.25 / std::sqrt(0.75 * 0.75 + 4);
  EXPECT_NEAR(share(DType::kF16, 0x1p-10f), expected, 1e-12);
  EXPECT_NEAR(share(DType::kBF16, 0x1p-7f), expected, 1e-12);
  EXPECT_NEAR(share(DType::kF32, 0x1p-23f), expected, 1e-12);
}

TEST(ModelView, AZeroDeltaLeavesEveryBitAndVersion) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor w =
      Tensor::of<F16>({1, 4}, {F16{0x8000}, F16{0x7c01}, F16::from(nan), F16::from(2)});  // -0, a signalling NaN
  const ModelView base = ModelView::of(kGraph, {{"w", {w, {}}}}, {{"w", {"m.onnx", "w"}}});
  Patch zero = empty_patch(base);
  zero.deltas.push_back({"w", {1, 4}, DenseDelta{Tensor::of<float>({1, 4}, {0, -0.0f, 0, 0})}, {target_of(base, "w")}});
  zero.deltas[0].targets[0].transposed = false;
  const ModelView same = base.with(std::make_shared<const Patch>(zero));
  EXPECT_TRUE(same_feeds(base, same, "w"));
  EXPECT_TRUE(same.edits().empty());

  Patch last = zero;
  last.deltas[0].values = DenseDelta{Tensor::of<float>({1, 4}, {0, 0, 0, 1})};
  const ModelView edited = base.with(std::make_shared<const Patch>(last));
  const Tensor after = edited.parameters().at("w").tensor;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(after.data<F16>()[i].bits, w.data<F16>()[i].bits);
  EXPECT_EQ(after.data<F16>()[3].to_float(), 3);
}

TEST(ModelView, APatchForAnotherModelIsRefused) {
  const ModelView base = base_view();
  const Patch good = *patch_for(base, {"w"});
  EXPECT_EQ(error_of(base, good), "no error");
  Patch bad = good;
  bad.graph_hash = ContentHash::of("another");
  EXPECT_THAT(error_of(base, bad), HasSubstr("this patch was made for another model: its graph"));
  bad = good;
  bad.files["m.onnx"] = ContentHash::of("another");
  EXPECT_THAT(error_of(base, bad), HasSubstr("the graph in m.onnx"));
  EXPECT_THAT(error_of(base_view(99), good), HasSubstr("other weights"));
  bad = good;
  bad.deltas[0].targets[0].initializer = "gone";
  EXPECT_THAT(error_of(base, bad), HasSubstr("'gone' in m.onnx, which is not there"));
  bad = good;
  bad.deltas[0].targets[0].stored = DType::kF16;
  EXPECT_THAT(error_of(base, bad), HasSubstr("tensor 'W' in m.onnx is f32 [6, 4], expected f16"));
  bad = good;
  bad.deltas[0].targets[0].transposed = false;
  EXPECT_THAT(error_of(base, bad), HasSubstr("f32 [6, 4]"));
  bad = good;
  std::get<LowRankDelta>(bad.deltas[0].values).u = Tensor::of<float>({4, 1}, {1, 2, INFINITY, 4});
  EXPECT_THAT(error_of(base, bad), HasSubstr("finite"));
}

TEST(ModelView, ReadsOriginsFromAGraphAndItsSubgraphs) {
  auto branch = std::make_shared<Graph>();
  branch->add_parameter("inner", DType::kF32, {2}, "m.onnx", "I");
  Graph graph;
  const ValueId condition = graph.add_input("c", DType::kBool);
  graph.add_parameter("outer", DType::kF32, {2}, "m.onnx", "O");
  Node node;
  node.op = "If";
  node.inputs = {condition};
  node.attributes.set("then_branch", std::shared_ptr<const Graph>(branch));
  graph.add_node(std::move(node), {"y"});
  const Tensor two = Tensor::zeros(DType::kF32, {2});
  const ModelView view = ModelView::of(graph, {{"inner", {two, {}}}, {"outer", {two, {}}}});
  EXPECT_EQ(view.graph_hash(), graph.structure_hash());
  EXPECT_EQ(view.origins().at("inner"), (ParameterOrigin{"m.onnx", "I"}));
  EXPECT_EQ(view.origins().at("outer"), (ParameterOrigin{"m.onnx", "O"}));
}

TEST(PatchArithmetic, DiffAppliedGivesTheOther) {
  const ModelView base = base_view();
  const ModelView edited = base.with(patch_for(base, {"w", "h", "b"}));
  const Patch difference = diff(base, edited);
  EXPECT_EQ(difference.deltas.size(), 3u) << "one for each initializer that differs";
  const ModelView again = base.with(std::make_shared<const Patch>(difference));
  for (const auto& [value, feed] : edited.parameters()) {
    const std::vector<double> want = feed.tensor.to_f64(), got = again.parameters().at(value).tensor.to_f64();
    for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-6 * (std::abs(want[i]) + 4)) << value;
  }
  EXPECT_TRUE(identical(again.parameters().at("bias").tensor, base.parameters().at("bias").tensor));
  EXPECT_TRUE(diff(edited, edited).deltas.empty());

  // Backwards, and between two sets of files with one graph.
  const Patch back = diff(edited, base);
  EXPECT_EQ(back.beneath, edited.patch_ids());
  EXPECT_NO_THROW((void)edited.with(std::make_shared<const Patch>(back)));
  const ModelView other = base_view(7);
  const ModelView moved = base.with(std::make_shared<const Patch>(diff(base, other)));
  EXPECT_TRUE(identical(moved.parameters().at("h").tensor, other.parameters().at("h").tensor));
  EXPECT_THROW((void)diff(base, ModelView::of(ContentHash::of("x"), {}, {})), Error);
}

TEST(PatchArithmetic, MergingIdenticalPatchesIsThePatch) {
  const ModelView base = base_view();
  const auto patch = patch_for(base, {"w"});
  const ModelView once = base.with(patch);
  const std::vector<WeightedPatch> twins{{patch, 2}, {patch, 1}};
  for (const MergeOptions options : {MergeOptions{}, MergeOptions{MergeOptions::Method::kTaskArithmetic, true, 1.0}}) {
    const ModelView merged = base.with(std::make_shared<const Patch>(merge(twins, options)));
    for (int i = 0; i < 24; ++i) {
      const float want = once.parameters().at("w").tensor.data<float>()[i];
      const float got = merged.parameters().at("w").tensor.data<float>()[i];
      EXPECT_NEAR(got, want, 2 * std::abs(want) * 0x1p-23) << "2 ulp";
    }
  }
}

TEST(PatchArithmetic, TaskArithmeticAddsWeightedDifferences) {
  const ModelView base = base_view();
  const auto a = patch_for(base, {"w"}, 50), b = patch_for(base, {"w", "h"}, 60);
  const Patch merged =
      merge(std::vector<WeightedPatch>{{a, 0.5}, {b, -2}}, {MergeOptions::Method::kTaskArithmetic, {}, 3.0});
  ASSERT_EQ(merged.deltas.size(), 2u);
  const Tensor da = materialise(a->deltas[0]), db = materialise(b->deltas[0]), dm = materialise(merged.deltas[0]);
  for (int i = 0; i < 24; ++i)
    EXPECT_NEAR(dm.data<float>()[i], 1.5 * da.data<float>()[i] - 6.0 * db.data<float>()[i], 1e-5);
  EXPECT_EQ(form_name(merged.deltas[0]), "low-rank");
  EXPECT_EQ(numerical_rank(merged.deltas[0]), 2);
  EXPECT_NEAR(norm(merged.deltas[1]), 6 * norm(b->deltas[1]), 1e-5 * norm(merged.deltas[1]));
}

TEST(PatchArithmetic, RefusesWhatCannotBeMerged) {
  const ModelView base = base_view();
  const auto a = patch_for(base, {"w"});
  const auto above = patch_for(base.with(a), {"w"});
  EXPECT_THROW((void)merge({}), Error);
  EXPECT_THROW((void)merge(std::vector<WeightedPatch>{{a, 1}, {above, 1}}), Error);
  EXPECT_THROW((void)merge(std::vector<WeightedPatch>{{a, 1}, {a, -1}}), Error);
  EXPECT_THROW((void)merge(std::vector<WeightedPatch>{{a, NAN}}), Error);
  EXPECT_THROW((void)merge(std::vector<WeightedPatch>{{a, 0.3}}, {MergeOptions::Method::kLinear, false, 1.0}), Error);
}

}  // namespace
}  // namespace retune
