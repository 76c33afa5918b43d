#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "graph/graph.h"
#include "graph/op_case.h"
#include "graph/session.h"
#include "tensor/error.h"

namespace retune {
namespace {

using Ints = std::vector<std::int64_t>;

Ints index_of(const Shape& shape, std::int64_t i) {
  Ints index(static_cast<std::size_t>(shape.rank()));
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    index[static_cast<std::size_t>(axis)] = i % shape[axis];
    i /= shape[axis];
  }
  return index;
}

double at(const Tensor& t, const Ints& index) {
  const Ints strides = t.shape().strides();
  return t.data<double>()[std::inner_product(index.begin(), index.end(), strides.begin(), std::int64_t{0})];
}

// A tensor of `shape` whose element at each index is f(index).
Tensor build(const Shape& shape, const std::function<double(const Ints&)>& f) {
  Tensor y = Tensor::empty(DType::kF64, shape);
  for (std::int64_t i = 0; i < y.numel(); ++i) y.mutable_data<double>()[i] = f(index_of(shape, i));
  return y;
}

Tensor vec(const Ints& values) { return Tensor::vector(values); }

TEST(MovementOps, ExpandRepeatsAlongAxesOfExtentOne) {
  const auto expand = [](const Shape& from, const Ints& target) {
    const Shape to = broadcast(from, Shape(target));
    check({.op = "Expand",
           .inputs = {random_f64(from, 81), vec(target)},
           .constants = {1},
           .reference =
               [=](const std::vector<Tensor>& in) {
                 return std::vector<Tensor>{build(to, [&](const Ints& index) {
                   Ints own(index.end() - from.rank(), index.end());
                   for (int axis = 0; axis < from.rank(); ++axis)
                     if (from[axis] == 1) own[static_cast<std::size_t>(axis)] = 0;
                   return at(in[0], own);
                 })};
               },
           .gradients = {0}});
  };
  expand({3, 1}, {2, 3, 4});
  expand({3, 1, 5}, {1, 4, 1});
  expand({}, {2, 2});
  expand({2, 3}, {2, 3});
  expand({1}, {0, 3});
  expand({1, 300, 1}, {70, 1, 9});
}

TEST(MovementOps, TileRepeatsTheWhole) {
  const auto tile = [](const Shape& from, const Ints& repeats) {
    Ints extents = from.extents();
    for (std::size_t i = 0; i < extents.size(); ++i) extents[i] *= repeats[i];
    check({.op = "Tile",
           .inputs = {random_f64(from, 82), vec(repeats)},
           .constants = {1},
           .reference =
               [=](const std::vector<Tensor>& in) {
                 return std::vector<Tensor>{build(Shape(extents), [&](Ints index) {
                   for (int axis = 0; axis < from.rank(); ++axis) index[static_cast<std::size_t>(axis)] %= from[axis];
                   return at(in[0], index);
                 })};
               },
           .gradients = {0}});
  };
  tile({2, 3}, {2, 3});
  tile({2, 1, 3}, {1, 4, 1});
  tile({2, 3}, {0, 1});
  tile({3}, {1});
  tile({}, {});
}

TEST(MovementOps, TransposePutsAxesInTheirNewOrder) {
  const auto transpose = [](const Shape& from, const Ints& perm) {
    Ints extents;
    for (const std::int64_t axis : perm) extents.push_back(from[static_cast<int>(axis)]);
    check({.op = "Transpose",
           .inputs = {random_f64(from, 83)},
           .attributes = {{"perm", perm}},
           .reference =
               [=](const std::vector<Tensor>& in) {
                 return std::vector<Tensor>{build(Shape(extents), [&](const Ints& index) {
                   Ints own(index.size());
                   for (std::size_t i = 0; i < perm.size(); ++i) own[static_cast<std::size_t>(perm[i])] = index[i];
                   return at(in[0], own);
                 })};
               },
           .gradients = {0}});
  };
  Ints perm = {0, 1, 2, 3};
  do transpose({2, 3, 4, 5}, perm);
  while (std::next_permutation(perm.begin(), perm.end()));
  transpose({2, 0, 3}, {2, 1, 0});
  transpose({1, 5, 1}, {1, 2, 0});
  // Larger than tiles and tasks, with odd edges.
  transpose({131, 257}, {1, 0});
  transpose({3, 67, 5, 33}, {0, 2, 1, 3});
  transpose({3, 67, 5, 33}, {0, 1, 3, 2});
  transpose({5, 37, 11, 13}, {3, 2, 1, 0});
  check({.op = "Transpose",
         .inputs = {Tensor::scalar(2.0)},
         .reference = [](const std::vector<Tensor>& in) { return in; },
         .gradients = {0}});
}

TEST(MovementOps, ElementsOfEveryWidthMove) {
  const auto moved = [](const Tensor& x, const Tensor& want) {
    check({.op = "Transpose", .inputs = {x}, .reference = [want](const std::vector<Tensor>&) {
             return std::vector<Tensor>{want};
           }});
  };
  moved(Tensor::of<bool>({2, 2}, {true, true, false, false}), Tensor::of<bool>({2, 2}, {true, false, true, false}));
  moved(Tensor::of<F16>({2, 2}, {{1}, {2}, {3}, {4}}), Tensor::of<F16>({2, 2}, {{1}, {3}, {2}, {4}}));
  moved(Tensor::of<std::int64_t>({2, 2}, {1, 2, 3, 4}), Tensor::of<std::int64_t>({2, 2}, {1, 3, 2, 4}));
}

TEST(MovementOps, ConcatPutsTensorsSideBySide) {
  const auto concat = [](const std::vector<Shape>& shapes, std::int64_t axis) {
    OpCase c{.op = "Concat", .attributes = {{"axis", axis}}};
    const int rank = shapes[0].rank();
    const auto a = static_cast<std::size_t>(normalize_axis(axis, rank));
    Ints extents = shapes[0].extents();
    extents[a] = 0;
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      c.inputs.push_back(random_f64(shapes[i], 84 + i));
      c.gradients.push_back(static_cast<int>(i));
      extents[a] += shapes[i][static_cast<int>(a)];
    }
    c.reference = [=](const std::vector<Tensor>& in) {
      return std::vector<Tensor>{build(Shape(extents), [&](Ints index) {
        std::size_t k = 0;
        for (; index[a] >= in[k].shape()[static_cast<int>(a)]; ++k) index[a] -= in[k].shape()[static_cast<int>(a)];
        return at(in[k], index);
      })};
    };
    check(c);
  };
  concat({{2, 3}, {4, 3}}, 0);
  concat({{2, 3, 2}, {2, 1, 2}, {2, 4, 2}}, 1);
  concat({{2, 3, 2}, {2, 3, 5}}, -1);
  concat({{2, 0, 3}, {2, 4, 3}}, 1);  // an empty past before the new keys
  concat({{2, 3}}, 1);
  concat({{0}, {0}}, 0);
  concat({{37, 401}, {37, 603}}, 1);
}

TEST(MovementOps, SplitIsConcatBackwards) {
  const auto split = [](const Shape& shape, std::int64_t axis, const Ints& sizes, int version, bool named) {
    const auto a = static_cast<std::size_t>(normalize_axis(axis, shape.rank()));
    OpCase c{.op = "Split",
             .version = version,
             .inputs = {random_f64(shape, 85)},
             .attributes = {{"axis", axis}},
             .outputs = static_cast<int>(sizes.size()),
             .gradients = {0}};
    if (named && version < 13) c.attributes.set("split", sizes);
    if (named && version >= 13) {
      c.inputs.push_back(vec(sizes));
      c.constants = {1};
    }
    if (!named && version >= 18) c.attributes.set("num_outputs", static_cast<std::int64_t>(sizes.size()));
    c.reference = [=](const std::vector<Tensor>& in) {
      std::vector<Tensor> parts;
      std::int64_t before = 0;
      for (const std::int64_t size : sizes) {
        Ints extents = shape.extents();
        extents[a] = size;
        parts.push_back(build(Shape(extents), [&](Ints index) {
          index[a] += before;
          return at(in[0], index);
        }));
        before += size;
      }
      return parts;
    };
    check(c);
  };
  split({2, 6, 3}, 1, {2, 1, 3}, 17, true);
  split({6, 3}, 0, {2, 4}, 11, true);
  split({6, 3}, 0, {2, 2, 2}, 17, false);
  split({2, 7}, -1, {3, 3, 1}, 18, false);
  split({2, 3}, 1, {0, 3}, 13, true);
  split({0, 3}, 0, {0, 0}, 13, false);
}

TEST(MovementOps, SliceTakesEveryStepthElement) {
  struct Case {
    Shape shape;
    Ints starts, ends, axes, steps;
    Shape result;
    Ints first, stride;
  };
  const std::int64_t far = std::numeric_limits<std::int64_t>::max(), low = std::numeric_limits<std::int64_t>::min();
  const std::vector<Case> cases = {
      {{5, 4}, {1}, {4}, {0}, {1}, {3, 4}, {1, 0}, {1, 1}},  // rows: a view
      {{5, 4}, {1}, {3}, {1}, {1}, {5, 2}, {0, 1}, {1, 1}},  // columns
      {{5, 4}, {-2, 0}, {far, -1}, {0, 1}, {1, 1}, {2, 3}, {3, 0}, {1, 1}},
      {{5, 4}, {0, 0}, {far, far}, {1, 0}, {2, 3}, {2, 2}, {0, 0}, {3, 2}},
      {{5, 4}, {-1}, {low}, {0}, {-1}, {5, 4}, {4, 0}, {-1, 1}},  // reversed
      {{5, 4}, {10}, {0}, {-2}, {-2}, {2, 4}, {4, 0}, {-2, 1}},   // 4, 2
      {{5, 4}, {3}, {2}, {0}, {1}, {0, 4}, {0, 0}, {1, 1}},       // nothing
      {{5, 0}, {0}, {9}, {1}, {1}, {5, 0}, {0, 0}, {1, 1}},
      {{1, 6, 3}, {2}, {5}, {1}, {1}, {1, 3, 3}, {0, 2, 0}, {1, 1, 1}},  // a view behind an axis of extent 1
      {{300, 130}, {1, 129}, {299, 0}, {0, 1}, {3, -2}, {100, 65}, {1, 129}, {3, -2}},
  };
  for (const Case& c : cases)
    check({.op = "Slice",
           .inputs = {random_f64(c.shape, 86), vec(c.starts), vec(c.ends), vec(c.axes), vec(c.steps)},
           .constants = {1, 2, 3, 4},
           .reference =
               [&](const std::vector<Tensor>& in) {
                 return std::vector<Tensor>{build(c.result, [&](Ints index) {
                   for (std::size_t i = 0; i < index.size(); ++i) index[i] = c.first[i] + index[i] * c.stride[i];
                   return at(in[0], index);
                 })};
               },
           .gradients = {0}});
  // Bounds as attributes, before version 10.
  check({.op = "Slice",
         .version = 9,
         .inputs = {random_f64({4, 5}, 87)},
         .attributes = {{"starts", Ints{1}}, {"ends", Ints{-1}}, {"axes", Ints{1}}},
         .reference =
             [](const std::vector<Tensor>& in) {
               return std::vector<Tensor>{build({4, 3}, [&](const Ints& i) { return at(in[0], {i[0], i[1] + 1}); })};
             },
         .gradients = {0}});
}

// What Slice's gradient is made of; itself differentiated by Slice.
TEST(MovementOps, PlacePutsACutBackIntoZeros) {
  struct Cut {
    std::vector<std::int64_t> starts, steps, extents;
  };
  for (const Cut& cut : {Cut{{1, 0}, {1, 1}, {4, 3}}, Cut{{0, 4}, {3, -2}, {5, 6}}, Cut{{1, 2}, {-1, -1}, {2, 3}}})
    check({.domain = "retune",
           .op = "Place",
           .version = 1,
           .inputs = {random_f64({2, 3}, 88)},
           .attributes = {{"starts", cut.starts}, {"steps", cut.steps}, {"extents", cut.extents}},
           .reference =
               [cut](const std::vector<Tensor>& in) {
                 Tensor y = Tensor::zeros(in[0].dtype(), Shape(cut.extents));
                 for (std::int64_t i = 0; i < 2; ++i)
                   for (std::int64_t j = 0; j < 3; ++j)
                     y.mutable_data<double>()[(cut.starts[0] + i * cut.steps[0]) * cut.extents[1] + cut.starts[1] +
                                              j * cut.steps[1]] = in[0].data<double>()[i * 3 + j];
                 return std::vector<Tensor>{y};
               },
           .gradients = {0}});
}

TEST(PaddingOps, EveryModeExtendsAnAxis) {
  struct Mode {
    std::string name;
    std::int64_t (*source)(std::int64_t, std::int64_t);  // -1: the constant
  };
  const std::vector<Mode> modes = {
      {"constant", [](std::int64_t i, std::int64_t n) { return i < 0 || i >= n ? -1 : i; }},
      {"edge", [](std::int64_t i, std::int64_t n) { return std::clamp<std::int64_t>(i, 0, n - 1); }},
      {"reflect", [](std::int64_t i, std::int64_t n) { return i < 0    ? -i
                                                              : i >= n ? 2 * (n - 1) - i
                                                                       : i; }},
      {"wrap", [](std::int64_t i, std::int64_t n) { return (i + n) % n; }},
  };
  for (const Mode& mode : modes)
    check({.op = "Pad",
           .version = 19,
           .inputs = {random_f64({3, 4}, 88), vec({1, 2, 0, 3}), Tensor::scalar(0.25)},
           .constants = {1},
           .attributes = {{"mode", mode.name}},
           .reference =
               [&](const std::vector<Tensor>& in) {
                 return std::vector<Tensor>{build({4, 9}, [&](const Ints& index) {
                   const std::int64_t row = mode.source(index[0] - 1, 3), column = mode.source(index[1] - 2, 4);
                   return row < 0 || column < 0 ? in[2].data<double>()[0] : at(in[0], {row, column});
                 })};
               },
           .gradients = {0, 2}});
}

TEST(PaddingOps, NegativePadsTakeAwayAndAxesMayBeNamed) {
  const auto crop = [](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{build({3, 4}, [&](const Ints& i) {
      return i[1] == 3 ? 0.0 : at(in[0], {i[0], i[1] + 1});
    })};
  };
  check({.op = "Pad",
         .version = 13,
         .inputs = {random_f64({3, 4}, 89), vec({0, -1, 0, 1})},
         .constants = {1},
         .reference = crop,
         .gradients = {0}});
  check({.op = "Pad",
         .version = 18,
         .inputs = {random_f64({3, 4}, 89), vec({-1, 1}), {}, vec({-1})},
         .constants = {1, 3},
         .reference = crop,
         .gradients = {0}});
  check({.op = "Pad",
         .version = 2,
         .inputs = {random_f64({3, 4}, 89)},
         .attributes = {{"pads", Ints{0, -1, 0, 1}}},
         .reference = crop,
         .gradients = {0}});
  check({.op = "Pad",
         .version = 13,
         .inputs = {Tensor::zeros(DType::kF64, {0, 2}), vec({1, 0, 1, 0}), Tensor::scalar(3.0)},
         .constants = {1},
         .reference =
             [](const std::vector<Tensor>&) {
               return std::vector<Tensor>{Tensor::of<double>({2, 2}, {3, 3, 3, 3})};
             },
         .gradients = {0}});
}

TEST(PaddingOps, TriluKeepsOneTriangle) {
  for (const std::int64_t upper : {0, 1})
    for (const std::int64_t k : {-9, -1, 0, 2, 9})
      check({.op = "Trilu",
             .inputs = {random_f64({2, 3, 5}, 90), Tensor::scalar(k)},
             .constants = {1},
             .attributes = {{"upper", upper}},
             .reference =
                 [=](const std::vector<Tensor>& in) {
                   return std::vector<Tensor>{build({2, 3, 5}, [&](const Ints& i) {
                     return (upper ? i[2] >= i[1] + k : i[2] <= i[1] + k) ? at(in[0], i) : 0.0;
                   })};
                 },
             .gradients = {0}});
}

// --- Shapes

TEST(ShapeOps, ViewsKeepElementsAndOrder) {
  const Tensor x = random_f64({2, 3, 4}, 91);
  const auto view = [&](const OpCase& c, const Shape& to) {
    OpCase full = c;
    full.reference = [to](const std::vector<Tensor>& in) { return std::vector<Tensor>{in[0].reshaped(to)}; };
    full.gradients = {0};
    check(full);
  };
  view({.op = "Reshape", .inputs = {x, vec({0, -1})}, .constants = {1}}, {2, 12});
  view({.op = "Reshape", .inputs = {x, vec({4, 6})}, .constants = {1}}, {4, 6});
  view({.op = "Reshape",
        .inputs = {Tensor::zeros(DType::kF64, {0, 3}), vec({3, 0, 5})},
        .constants = {1},
        .attributes = {{"allowzero", std::int64_t{1}}}},
       {3, 0, 5});
  view({.op = "Reshape", .inputs = {Tensor::scalar(3.0), vec({1, 1})}, .constants = {1}}, {1, 1});
  view({.op = "Unsqueeze", .inputs = {x, vec({-1, 0})}, .constants = {1}}, {1, 2, 3, 4, 1});
  view({.op = "Unsqueeze", .version = 11, .inputs = {x}, .attributes = {{"axes", Ints{1}}}}, {2, 1, 3, 4});
  view({.op = "Squeeze", .inputs = {random_f64({1, 3, 1}, 92), vec({-1})}, .constants = {1}}, {1, 3});
  view({.op = "Squeeze", .inputs = {random_f64({1, 3, 1}, 92)}}, {3});
  view({.op = "Squeeze", .version = 11, .inputs = {random_f64({1, 3, 1}, 92)}, .attributes = {{"axes", Ints{0}}}},
       {3, 1});
  view({.op = "Flatten", .inputs = {x}}, {2, 12});
  view({.op = "Flatten", .inputs = {x}, .attributes = {{"axis", std::int64_t{-1}}}}, {6, 4});
  view({.op = "Flatten", .inputs = {x}, .attributes = {{"axis", std::int64_t{3}}}}, {24, 1});
  view({.op = "Identity", .inputs = {x}}, {2, 3, 4});
  view({.op = "Dropout", .inputs = {x}}, {2, 3, 4});
}

TEST(ShapeOps, ShapeAndSizeAreKnownBeforeRunning) {
  const Tensor x = Tensor::zeros(DType::kF32, {2, 3, 4});
  const auto expect = [&](const char* op, const Attributes& attributes, const Tensor& want) {
    check({.op = op, .inputs = {x}, .attributes = attributes, .reference = [want](const std::vector<Tensor>&) {
             return std::vector<Tensor>{want};
           }});
  };
  const std::int64_t one = 1, two = 2, nine = 9;
  expect("Shape", {}, vec({2, 3, 4}));
  expect("Shape", {{"start", -two}}, vec({3, 4}));
  expect("Shape", {{"start", one}, {"end", two}}, vec({3}));
  expect("Shape", {{"start", two}, {"end", one}}, vec({}));
  expect("Shape", {{"end", nine}}, vec({2, 3, 4}));
  expect("Size", {}, Tensor::scalar<std::int64_t>(24));
}

TEST(ConstantOps, TensorsAreMadeFromAFewNumbers) {
  const auto gives = [](OpCase c, const Tensor& want) {
    c.reference = [want](const std::vector<Tensor>&) { return std::vector<Tensor>{want}; };
    check(c);
  };
  gives({.op = "Constant", .attributes = {{"value", Tensor::of<std::int8_t>({2}, {3, 4})}}},
        Tensor::of<std::int8_t>({2}, {3, 4}));
  gives({.op = "Constant", .attributes = {{"value_floats", std::vector<double>{0.5, 2}}}},
        Tensor::of<float>({2}, {0.5f, 2.0f}));
  gives({.op = "Constant", .attributes = {{"value_int", std::int64_t{7}}}}, Tensor::scalar<std::int64_t>(7));
  gives({.op = "ConstantOfShape", .inputs = {vec({2, 1})}}, Tensor::of<float>({2, 1}, {0, 0}));
  gives({.op = "ConstantOfShape", .inputs = {vec({2})}, .attributes = {{"value", Tensor::of<std::int32_t>({1}, {9})}}},
        Tensor::of<std::int32_t>({2}, {9, 9}));
  gives({.op = "ConstantOfShape", .inputs = {vec({})}}, Tensor::scalar(0.0f));
  gives({.op = "ConstantOfShape", .inputs = {vec({3, 0})}}, Tensor::zeros(DType::kF32, {3, 0}));
  const auto i64 = [](std::int64_t v) { return Tensor::scalar(v); };
  gives({.op = "Range", .inputs = {i64(3), i64(9), i64(3)}}, vec({3, 6}));
  gives({.op = "Range", .inputs = {i64(10), i64(4), i64(-2)}}, vec({10, 8, 6}));
  gives({.op = "Range", .inputs = {i64(3), i64(3), i64(1)}}, vec({}));
  gives({.op = "Range", .inputs = {Tensor::scalar(0.5f), Tensor::scalar(2.1f), Tensor::scalar(0.5f)}},
        Tensor::of<float>({4}, {0.5f, 1.0f, 1.5f, 2.0f}));
  gives({.op = "EyeLike", .inputs = {Tensor::zeros(DType::kI32, {2, 3})}, .attributes = {{"k", std::int64_t{1}}}},
        Tensor::of<std::int32_t>({2, 3}, {0, 1, 0, 0, 0, 1}));
  gives({.op = "EyeLike", .inputs = {Tensor::zeros(DType::kI32, {2, 2})}, .attributes = {{"dtype", std::int64_t{1}}}},
        Tensor::of<float>({2, 2}, {1, 0, 0, 1}));
}

// --- What does not fit is one clear line.

std::string error_of(const OpCase& c) {
  auto graph = std::make_shared<Graph>();
  Node node{.domain = c.domain, .op = c.op, .version = c.version, .name = "n"};
  node.attributes = c.attributes;
  for (const Tensor& input : c.inputs) node.inputs.push_back(graph->add_constant(input));
  graph->add_node(std::move(node), {"y"});
  try {
    Session({.threads = 1}).run(graph, {}, {.outputs = {"y"}});
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  return "no error";
}

TEST(ShapeOps, WhatDoesNotFitIsNamed) {
  const Tensor x = Tensor::zeros(DType::kF32, {2, 3});
  const auto expect = [](const OpCase& c, const std::string& part) {
    const std::string error = error_of(c);
    EXPECT_NE(error.find(part), std::string::npos) << error;
    EXPECT_NE(error.find(c.op + " node 'n'"), std::string::npos) << error;
  };
  expect({.op = "Reshape", .inputs = {x, vec({4, -1})}}, "[2, 3] cannot be reshaped to [4, -1]");
  expect({.op = "Reshape", .inputs = {x, vec({-1, -1})}}, "more than one -1");
  expect({.op = "Squeeze", .inputs = {x, vec({0})}}, "axis 0 of [2, 3] cannot be squeezed");
  expect({.op = "Unsqueeze", .inputs = {x, vec({1, 1})}}, "axis 1 is named twice");
  expect({.op = "Transpose", .inputs = {x}, .attributes = {{"perm", Ints{0, 0}}}}, "perm [0, 0] is not a permutation");
  expect({.op = "Concat", .inputs = {x, Tensor::zeros(DType::kF32, {3, 3})}, .attributes = {{"axis", std::int64_t{1}}}},
         "[3, 3], which does not continue [2, 3]");
  expect({.op = "Expand", .inputs = {x, vec({5})}}, "[2, 3]");
  expect({.op = "Slice", .inputs = {x, vec({0}), vec({1}), vec({0}), vec({0})}}, "the step along axis 0 is 0");
  expect({.op = "Split", .inputs = {x, vec({1, 5})}, .attributes = {{"axis", std::int64_t{1}}}},
         "sizes [1, 5] do not cut axis 1 of [2, 3]");
  expect({.op = "Pad", .inputs = {x, vec({1, 1})}}, "2 pads for 2 axes");
  expect(
      {.op = "Range",
       .inputs = {Tensor::scalar<std::int64_t>(0), Tensor::scalar<std::int64_t>(1), Tensor::scalar<std::int64_t>(0)}},
      "the step of a range is 0");
  expect({.op = "Tile", .inputs = {x, vec({1})}}, "1 repeats for the axes of [2, 3]");
  expect({.op = "TopK", .inputs = {x, vec({4})}}, "k is 4, expected 0 to 3");
  expect({.op = "ReduceSum", .inputs = {x, vec({2})}}, "2");
  expect({.op = "Add", .inputs = {x, Tensor::zeros(DType::kF64, {3})}}, "have types f32 and f64");
  expect({.op = "Add", .inputs = {x, Tensor::zeros(DType::kF32, {4})}}, "[4]");
  expect({.op = "Cast", .inputs = {x}, .attributes = {{"to", std::int64_t{14}}}}, "type 14 is not supported");
  expect({.op = "Exp", .inputs = {vec({1})}}, "expected a float type");
}

}  // namespace
}  // namespace retune
