#!/usr/bin/python3
"""Makes the tests in this folder: operators as single-node ONNX models with results computed by PyTorch.

    /usr/bin/python3 tests/golden/operators/make.py          (Debian's python3-torch and python3-onnx)

Each case is a folder in the layout of ONNX's backend tests: test_NAME/model.onnx and test_data_set_0/{input,output}_N.pb. The random
inputs of a case depend on its name only, so that adding one changes no other.
"""
import pathlib
import shutil
import zlib

import numpy
import onnx
import torch
from onnx import helper, numpy_helper
from torch.nn import functional as F

FOLDER = pathlib.Path(__file__).resolve().parent


class Case:
    """Random inputs of one case, and where it is written."""

    def __init__(self, name):
        self.name = name
        self.generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))

    def normal(self, *shape):
        return torch.randn(shape, generator=self.generator)

    def uniform(self, low, high, *shape):
        return low + (high - low) * torch.rand(shape, generator=self.generator)

    def integers(self, low, high, *shape):
        return torch.randint(low, high, shape, generator=self.generator)

    def write(self, op, inputs, outputs, opset=17, domain="", constants=(), **attributes):
        """inputs: tensors, None where absent; those whose index is in constants become initializers. outputs: tensors."""
        arrays = [None if x is None else numpy.asarray(x) for x in inputs]
        names = ["" if x is None else f"x{i}" for i, x in enumerate(arrays)]
        fed = [i for i, x in enumerate(arrays) if x is not None and i not in constants]
        results = [numpy.asarray(y) for y in outputs]
        result_names = ["y"] if len(results) == 1 else [f"y{i}" for i in range(len(results))]

        def info(name, array):
            return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)

        graph = helper.make_graph(
            [helper.make_node(op, names, result_names, name=self.name, domain=domain, **attributes)],
            self.name,
            [info(names[i], arrays[i]) for i in fed],
            [info(n, y) for n, y in zip(result_names, results)],
            [numpy_helper.from_array(arrays[i], names[i]) for i in constants],
        )
        imports = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, 1)] if domain else [])
        model = helper.make_model(graph, opset_imports=imports, producer_name="retune-golden", ir_version=8)
        folder = FOLDER / f"test_{self.name}"
        data = folder / "test_data_set_0"
        data.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(model.SerializeToString())
        for n, i in enumerate(fed):
            (data / f"input_{n}.pb").write_bytes(numpy_helper.from_array(arrays[i], names[i]).SerializeToString())
        for n, (name, y) in enumerate(zip(result_names, results)):
            (data / f"output_{n}.pb").write_bytes(numpy_helper.from_array(y, name).SerializeToString())


if not hasattr(helper, "np_dtype_to_tensor_dtype"):  # onnx before 1.13
    helper.np_dtype_to_tensor_dtype = lambda dtype: onnx.mapping.NP_TYPE_TO_TENSOR_TYPE[dtype]


def ints(*values):
    return torch.tensor(values, dtype=torch.int64)


def in_f64(f, x):
    """f without the rounding of PyTorch's own f32 (its GELU is off by 1e-6 for negative x)."""
    return f(x.double()).float()


def elementwise():
    functions = {
        "neg": torch.neg, "abs": torch.abs, "exp": torch.exp, "erf": torch.erf, "cos": torch.cos, "sin": torch.sin, "tan": torch.tan,
        "floor": torch.floor, "ceil": torch.ceil, "round": torch.round, "sign": torch.sign, "tanh": torch.tanh,
        "sigmoid": torch.sigmoid, "relu": torch.relu, "softplus": F.softplus, "softsign": F.softsign,
    }
    for name, f in functions.items():
        c = Case(name)
        x = 2 * c.normal(3, 37)
        c.write(name.capitalize(), [x], [in_f64(f, x)])
    for name, f in {"log": torch.log, "sqrt": torch.sqrt, "reciprocal": torch.reciprocal}.items():
        c = Case(name)
        x = c.uniform(0.1, 5, 3, 37)
        c.write(name.capitalize(), [x], [in_f64(f, x)])
    for name, op, f, attributes, opset, domain in [
        ("leakyrelu", "LeakyRelu", lambda x: F.leaky_relu(x, 0.2), {"alpha": 0.2}, 16, ""),
        ("elu", "Elu", lambda x: F.elu(x, 1.5), {"alpha": 1.5}, 17, ""),
        ("selu", "Selu", F.selu, {}, 17, ""),
        ("hardsigmoid", "HardSigmoid", F.hardsigmoid, {"alpha": 1 / 6}, 17, ""),
        ("hardswish", "HardSwish", F.hardswish, {}, 17, ""),
        ("gelu", "Gelu", F.gelu, {}, 20, ""),
        ("gelu_tanh", "Gelu", lambda x: F.gelu(x, approximate="tanh"), {"approximate": "tanh"}, 20, ""),
        ("swish", "Swish", F.silu, {}, 24, ""),
        ("gelu_microsoft", "Gelu", F.gelu, {}, 17, "com.microsoft"),
        ("fastgelu_microsoft", "FastGelu", lambda x: F.gelu(x, approximate="tanh"), {}, 17, "com.microsoft"),
        ("quickgelu_microsoft", "QuickGelu", lambda x: x * torch.sigmoid(1.702 * x), {}, 17, "com.microsoft"),
    ]:
        c = Case(name)
        x = 3 * c.normal(3, 37)
        c.write(op, [x], [in_f64(f, x)], opset=opset, domain=domain, **attributes)
    c = Case("biasgelu_microsoft")
    x, bias = c.normal(2, 3, 11), c.normal(11)
    c.write("BiasGelu", [x, bias], [in_f64(F.gelu, x + bias)], domain="com.microsoft")


def arithmetic():
    shapes = {"same": ((2, 3, 5), (2, 3, 5)), "row": ((2, 3, 5), (5,)), "column": ((2, 3, 5), (2, 3, 1)), "scalar": ((2, 3, 5), ()),
              "both": ((3, 1, 5), (4, 1))}
    functions = {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "pow": torch.pow, "max": torch.maximum,
                 "min": torch.minimum}
    for name, f in functions.items():
        for kind, (a, b) in shapes.items():
            c = Case(f"{name}_{kind}")
            x, y = c.uniform(0.2, 3, *a), c.uniform(0.2, 3, *b)
            c.write(name.capitalize(), [x, y], [f(x, y)])
    c = Case("mod_int64")
    x, y = c.integers(-20, 20, 4, 5), c.integers(1, 7, 5)
    c.write("Mod", [x, y], [torch.remainder(x, y)])
    c = Case("mod_fmod")
    x, y = 5 * c.normal(4, 5), c.uniform(0.5, 2, 5)
    c.write("Mod", [x, y], [torch.fmod(x, y)], fmod=1)
    c = Case("sum_three")
    x, y, z = c.normal(2, 3, 5), c.normal(3, 1), c.normal(5)
    c.write("Sum", [x, y, z], [x + y + z])
    c = Case("mean_three")
    x, y, z = c.normal(2, 3, 5), c.normal(3, 1), c.normal(5)
    c.write("Mean", [x, y, z], [(x + y + z) / 3])
    for name, f in {"Equal": torch.eq, "Less": torch.lt, "LessOrEqual": torch.le, "Greater": torch.gt, "GreaterOrEqual": torch.ge}.items():
        c = Case(name.lower())
        x, y = c.integers(0, 3, 4, 5), c.integers(0, 3, 5)
        c.write(name, [x, y], [f(x, y)])
    for name, f in {"And": torch.logical_and, "Or": torch.logical_or, "Xor": torch.logical_xor}.items():
        c = Case(name.lower())
        x, y = c.integers(0, 2, 4, 5).bool(), c.integers(0, 2, 4, 1).bool()
        c.write(name, [x, y], [f(x, y)])
    c = Case("not")
    x = c.integers(0, 2, 7).bool()
    c.write("Not", [x], [~x])
    odd = torch.tensor([1.0, float("nan"), float("inf"), -float("inf")])
    Case("isnan").write("IsNaN", [odd], [torch.isnan(odd)])
    Case("isinf").write("IsInf", [odd], [torch.isinf(odd)])
    c = Case("where")
    condition, x, y = c.integers(0, 2, 3, 1).bool(), c.normal(3, 4), c.normal(4)
    c.write("Where", [condition, x, y], [torch.where(condition, x, y)])
    c = Case("clip")
    x = 2 * c.normal(3, 7)
    c.write("Clip", [x, torch.tensor(-0.5), torch.tensor(1.5)], [torch.clamp(x, -0.5, 1.5)], constants=(1, 2))
    c = Case("clip_max_only")
    x = 2 * c.normal(3, 7)
    c.write("Clip", [x, None, torch.tensor(0.5)], [torch.clamp(x, max=0.5)])
    c = Case("prelu")
    x, slope = c.normal(2, 3, 4), c.uniform(0, 1, 3, 1)
    c.write("PRelu", [x, slope], [F.prelu(x, slope.flatten())], opset=16)


def casts():
    types = {"f64": torch.float64, "f16": torch.float16, "i64": torch.int64, "i32": torch.int32, "i8": torch.int8, "bool": torch.bool}
    for name, dtype in types.items():
        c = Case(f"cast_f32_{name}")
        x = (20 * c.normal(3, 5)).round(decimals=2)
        y = x.to(dtype)
        c.write("Cast", [x], [y], to=int(onnx.mapping.NP_TYPE_TO_TENSOR_TYPE[numpy.asarray(y).dtype]))
    for name, dtype in {"f16": torch.float16, "i64": torch.int64, "bool": torch.bool}.items():
        c = Case(f"cast_{name}_f32")
        x = c.integers(0, 2, 3, 5).to(dtype)
        c.write("Cast", [x], [x.float()], to=1)
    for name, dtype in {"f16": torch.float16, "i64": torch.int64}.items():
        c = Case(f"castlike_{name}")
        x, like = (20 * c.normal(3, 5)).round(decimals=2), torch.zeros(2, dtype=dtype)
        c.write("CastLike", [x, like], [x.to(dtype)])


def reductions():
    functions = {
        "ReduceSum": lambda x, d: x.sum(d, keepdim=True), "ReduceMean": lambda x, d: x.mean(d, keepdim=True),
        "ReduceMax": lambda x, d: x.amax(d, keepdim=True), "ReduceMin": lambda x, d: x.amin(d, keepdim=True),
        "ReduceL1": lambda x, d: x.abs().sum(d, keepdim=True), "ReduceL2": lambda x, d: x.square().sum(d, keepdim=True).sqrt(),
        "ReduceSumSquare": lambda x, d: x.square().sum(d, keepdim=True), "ReduceLogSum": lambda x, d: x.sum(d, keepdim=True).log(),
        "ReduceLogSumExp": lambda x, d: torch.logsumexp(x, d, keepdim=True),
    }
    for op, f in functions.items():
        for axes in [(-1,), (0, 2)]:
            c = Case(f"{op.lower()}_{'_'.join(str(a % 3) for a in axes)}")
            x = c.uniform(0.1, 2, 3, 4, 5)
            if op == "ReduceSum":
                c.write(op, [x, ints(*axes)], [f(x, axes)], constants=(1,))
            else:
                c.write(op, [x], [f(x, axes)], axes=axes)
    c = Case("reduceprod")
    x = c.uniform(0.5, 1.5, 3, 4)
    c.write("ReduceProd", [x], [x.prod(1)], axes=[1], keepdims=0)
    c = Case("reducemean_axes_input")
    x = c.normal(3, 4, 5)
    c.write("ReduceMean", [x, ints(1)], [x.mean(1)], opset=18, keepdims=0)
    c = Case("argmax")
    x = c.normal(3, 4, 5)
    c.write("ArgMax", [x], [x.argmax(-1)], axis=-1, keepdims=0)
    c = Case("argmin")
    x = c.normal(3, 4, 5)
    c.write("ArgMin", [x], [x.argmin(1, keepdim=True)], axis=1)
    c = Case("cumsum")
    x = c.normal(3, 4)
    c.write("CumSum", [x, torch.tensor(1)], [x.cumsum(1)])
    c = Case("cumsum_int64")
    x = c.integers(0, 2, 2, 9)
    c.write("CumSum", [x, torch.tensor(-1)], [x.cumsum(-1)])
    c = Case("topk")
    x = c.normal(3, 9)
    values, indices = x.topk(4)
    c.write("TopK", [x, ints(4)], [values, indices])


def shapes():
    c = Case("shape")
    x = c.normal(2, 3, 4)
    c.write("Shape", [x], [ints(2, 3, 4)])
    Case("shape_slice").write("Shape", [x], [ints(4)], start=-1)
    Case("size").write("Size", [x], [torch.tensor(24)])
    Case("reshape").write("Reshape", [x, ints(0, -1)], [x.reshape(2, 12)])
    Case("unsqueeze").write("Unsqueeze", [x, ints(1, -1)], [x.unsqueeze(1).unsqueeze(-1)])
    Case("unsqueeze_attribute").write("Unsqueeze", [x], [x.unsqueeze(1)], opset=11, axes=[1])
    one = c.normal(1, 3, 1)
    Case("squeeze").write("Squeeze", [one, ints(0)], [one.squeeze(0)], constants=(1,))
    Case("squeeze_all").write("Squeeze", [one], [one.squeeze()])
    Case("flatten").write("Flatten", [x], [x.flatten(1)], axis=1)
    Case("identity").write("Identity", [x], [x])
    Case("dropout").write("Dropout", [x], [x])
    Case("constantofshape").write("ConstantOfShape", [ints(2, 3)], [torch.full((2, 3), 7)],
                                  value=helper.make_tensor("value", onnx.TensorProto.INT64, [1], [7]))
    Case("range_int64").write("Range", [torch.tensor(2), torch.tensor(11), torch.tensor(3)], [torch.arange(2, 11, 3)])
    Case("range_f32").write("Range", [torch.tensor(1.0), torch.tensor(0.0), torch.tensor(-0.25)], [torch.arange(1, 0, -0.25)])
    Case("eyelike").write("EyeLike", [Case("eyelike").normal(3, 4)], [torch.eye(3, 4)])
    Case("eyelike_below").write("EyeLike", [ints(*range(6)).reshape(3, 2)], [torch.eye(3, 2).roll(1, 0).tril(-1)], k=-1, dtype=1)
    Case("expand").write("Expand", [one, ints(2, 1, 4)], [one.expand(2, 3, 4)])
    Case("tile").write("Tile", [x, ints(1, 2, 3)], [x.tile(1, 2, 3)])
    for perm in [(0, 2, 1), (2, 1, 0), (1, 0, 2)]:
        Case("transpose_" + "".join(map(str, perm))).write("Transpose", [x], [x.permute(perm).contiguous()], perm=perm)
    heads = c.normal(2, 3, 4, 5)
    Case("transpose_heads").write("Transpose", [heads], [heads.permute(0, 2, 1, 3).contiguous()], perm=(0, 2, 1, 3))
    y, empty = c.normal(2, 5, 4), torch.zeros(2, 0, 4)
    Case("concat").write("Concat", [x, y], [torch.cat([x, y], 1)], axis=1)
    Case("concat_empty").write("Concat", [empty, y], [y], axis=-2)
    Case("split").write("Split", [y, ints(2, 3)], list(y.split([2, 3], 1)), constants=(1,), axis=1)
    Case("split_equal").write("Split", [x], list(x.split(2, 2)), axis=-1)
    Case("slice").write("Slice", [y, ints(1), ints(-1), ints(1)], [y[:, 1:-1]])
    Case("slice_steps").write("Slice", [y, ints(0, 3), ints(5, -100), ints(1, 2), ints(2, -1)], [y[:, ::2].flip(2)])
    Case("slice_attributes").write("Slice", [y], [y[:, 2:]], opset=9, starts=[2], ends=[1000], axes=[1])
    Case("pad").write("Pad", [y, ints(0, 1, 2, 0, 3, 0), torch.tensor(0.5)], [F.pad(y, (2, 0, 1, 3), value=0.5)])
    Case("pad_reflect").write("Pad", [y, ints(0, 0, 2, 0, 0, 3)], [F.pad(y, (2, 3), mode="reflect")], mode="reflect")
    Case("pad_edge").write("Pad", [y, ints(0, 0, 2, 0, 0, 3)], [F.pad(y, (2, 3), mode="replicate")], mode="edge")
    square = c.normal(5, 5)
    Case("triu").write("Trilu", [square, torch.tensor(1)], [square.triu(1)])
    Case("tril").write("Trilu", [square], [square.tril()], upper=0)


def linear():
    c = Case("matmul")
    a, b = c.normal(3, 7), c.normal(7, 5)
    c.write("MatMul", [a, b], [a @ b])
    c = Case("matmul_weight")
    a, b = c.normal(2, 3, 7), c.normal(7, 5)
    c.write("MatMul", [a, b], [a @ b], constants=(1,))
    c = Case("matmul_heads")
    a, b = c.normal(2, 3, 4, 6), c.normal(2, 3, 6, 5)
    c.write("MatMul", [a, b], [a @ b])
    c = Case("matmul_broadcast")
    a, b = c.normal(2, 1, 4, 6), c.normal(3, 6, 5)
    c.write("MatMul", [a, b], [a @ b])
    c = Case("matmul_vectors")
    a, b = c.normal(6), c.normal(2, 6, 5)
    c.write("MatMul", [a, b], [a @ b])
    c = Case("gemm")
    a, b, bias = c.normal(3, 7), c.normal(5, 7), c.normal(5)
    c.write("Gemm", [a, b, bias], [F.linear(a, b, bias)], transB=1)
    c = Case("gemm_scaled")
    a, b, bias = c.normal(7, 3), c.normal(7, 5), c.normal(3, 1)
    c.write("Gemm", [a, b, bias], [0.5 * a.T @ b + 2 * bias], transA=1, alpha=0.5, beta=2.0)
    for name, shape, weight, kwargs, attributes in [
        ("conv1d_mel", (1, 8, 20), (6, 8, 3), {"padding": 1}, {"pads": [1, 1]}),
        ("conv1d_stride", (2, 6, 21), (6, 6, 3), {"padding": 1, "stride": 2}, {"pads": [1, 1], "strides": [2]}),
        ("conv1d_depthwise", (2, 6, 15), (6, 1, 5), {"padding": 2, "groups": 6}, {"pads": [2, 2], "group": 6}),
        ("conv1d_dilated", (1, 4, 19), (3, 4, 3), {"dilation": 3}, {"dilations": [3]}),
        ("conv2d", (2, 3, 9, 10), (4, 3, 3, 2), {"padding": (1, 0), "stride": (2, 1)}, {"pads": [1, 0, 1, 0], "strides": [2, 1]}),
        ("conv2d_groups", (1, 4, 7, 7), (6, 2, 3, 3), {"groups": 2}, {"group": 2}),
    ]:
        c = Case(name)
        x, w, bias = c.normal(*shape), c.normal(*weight), c.normal(weight[0])
        f = F.conv1d if len(shape) == 3 else F.conv2d
        c.write("Conv", [x, w, bias], [f(x, w, bias, **kwargs)], constants=(1, 2), **attributes)
    c = Case("averagepool")
    x = c.normal(1, 3, 11)
    c.write("AveragePool", [x], [F.avg_pool1d(x, 2, 2)], kernel_shape=[2], strides=[2])
    c = Case("maxpool")
    x = c.normal(1, 3, 9, 9)
    c.write("MaxPool", [x], [F.max_pool2d(x, 3, 2, 1)], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    c = Case("globalaveragepool")
    x = c.normal(2, 3, 5, 4)
    c.write("GlobalAveragePool", [x], [x.mean((2, 3), keepdim=True)])


def normalization():
    for axis in (-1, 1):
        c = Case(f"layernormalization_{axis % 3}")
        x = c.normal(2, 3, 8)
        scale, bias = c.normal(*x.shape[axis % 3:]), c.normal(*x.shape[axis % 3:])
        y = F.layer_norm(x, x.shape[axis % 3:], scale, bias, 1e-5)
        c.write("LayerNormalization", [x, scale, bias], [y], axis=axis, epsilon=1e-5)
    c = Case("rmsnormalization")
    x, scale = c.normal(2, 3, 8), c.normal(8)
    y = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * scale
    c.write("RMSNormalization", [x, scale], [y], opset=23, epsilon=1e-6)
    Case("simplifiedlayernormalization").write("SimplifiedLayerNormalization", [x, scale], [y], epsilon=1e-6, axis=-1)
    for name, shape in {"rows": (4, 3), "planes": (2, 3, 5, 4)}.items():
        c = Case(f"batchnormalization_{name}")
        x, scale, bias, mean, variance = c.normal(*shape), c.normal(3), c.normal(3), c.normal(3), c.uniform(0.5, 2, 3)
        y = F.batch_norm(x, mean, variance, scale, bias, eps=1e-3)
        c.write("BatchNormalization", [x, scale, bias, mean, variance], [y], epsilon=1e-3)
    c = Case("instancenormalization")
    x, scale, bias = c.normal(2, 3, 7), c.normal(3), c.normal(3)
    c.write("InstanceNormalization", [x, scale, bias], [F.instance_norm(x, weight=scale, bias=bias, eps=1e-3)], epsilon=1e-3)
    for opset, parameters in [(18, 2), (21, 6)]:  # a scale and bias for each group, later for each channel
        c = Case(f"groupnormalization_{opset}")
        x, scale, bias = c.normal(2, 6, 5), c.normal(parameters), c.normal(parameters)
        y = F.group_norm(x, 2, *(p.repeat_interleave(6 // parameters) for p in (scale, bias)), eps=1e-3)
        c.write("GroupNormalization", [x, scale, bias], [y], opset=opset, num_groups=2, epsilon=1e-3)
    for axis in (-1, 1):
        c = Case(f"softmax_{axis % 3}")
        x = 3 * c.normal(2, 5, 7)
        c.write("Softmax", [x], [F.softmax(x, axis)], axis=axis)
        c = Case(f"logsoftmax_{axis % 3}")
        c.write("LogSoftmax", [x], [F.log_softmax(x, axis)], axis=axis)
    c = Case("softmax_masked")
    x = c.normal(2, 5, 5) + torch.full((5, 5), -float("inf")).triu(1)
    c.write("Softmax", [x], [F.softmax(x, -1)], axis=-1)


def indexing():
    c = Case("gather_embedding")
    table, ids = c.normal(11, 6), c.integers(0, 11, 2, 5)
    c.write("Gather", [table, ids], [F.embedding(ids, table)], constants=(0,))
    c = Case("gather_axis")
    x = c.normal(3, 4, 5)
    c.write("Gather", [x, ints(-1, 0)], [x[:, [-1, 0]]], axis=1)
    c = Case("gather_scalar")
    c.write("Gather", [x, torch.tensor(2)], [x[2]], axis=0)
    c = Case("gatherelements")
    indices = c.integers(0, 4, 3, 2, 5)
    c.write("GatherElements", [x, indices], [x.gather(1, indices)], axis=1)
    c = Case("gathernd")
    at = torch.stack([c.integers(0, 3, 6), c.integers(0, 4, 6)], 1)
    c.write("GatherND", [x, at], [x[at[:, 0], at[:, 1]]])
    c = Case("scatternd")
    at, updates = ints(4, 1, 7).unsqueeze(1), c.normal(3, 6)
    y = c.normal(9, 6)
    c.write("ScatterND", [y, at, updates], [y.index_copy(0, at[:, 0], updates)])
    c = Case("scatterelements")
    indices, updates = torch.stack([torch.randperm(4, generator=c.generator)[:2] for _ in range(3)]), c.normal(3, 2)
    y = c.normal(3, 4)
    c.write("ScatterElements", [y, indices, updates], [y.scatter(1, indices, updates)], axis=1)
    c = Case("nonzero")
    x = c.integers(0, 2, 3, 4)
    c.write("NonZero", [x], [x.nonzero().T.contiguous()])
    c = Case("compress")
    x, keep = c.normal(5, 3), torch.tensor([True, False, True, True, False])
    c.write("Compress", [x, keep], [x[keep]], axis=0)
    c = Case("onehot")
    ids = c.integers(0, 5, 2, 3)
    c.write("OneHot", [ids, ints(5), torch.tensor([0.0, 1.0])], [F.one_hot(ids, 5).float()], constants=(1, 2))


def main():
    torch.set_num_threads(1)
    torch._C._set_mkldnn_enabled(False)  # oneDNN gives wrong numbers for some layouts in Debian's PyTorch 1.13.1
    for old in FOLDER.glob("test_*"):
        shutil.rmtree(old)
    for family in (elementwise, arithmetic, casts, reductions, shapes, linear, normalization, indexing):
        family()
    files = [f for f in FOLDER.rglob("*") if f.is_file()]
    print(f"{len(list(FOLDER.glob('test_*')))} tests, {sum(f.stat().st_size for f in files)} bytes in {len(files)} files")


if __name__ == "__main__":
    main()
