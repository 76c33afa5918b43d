#!/usr/bin/python3
"""Makes the tests in this folder: operators that PyTorch lacks, as small ONNX models with results computed by ONNX Runtime.

    ./dev setup test                                                   (npm packages of tests/interop)
    /usr/bin/python3 tests/golden/onnxruntime_operators/make.py        (Debian's python3-onnx and python3-numpy)

Each case is a folder in the layout of ONNX's backend tests: test_NAME/model.onnx and test_data_set_0/{input,output}_N.pb. The random
inputs of a case depend on its name only, so that adding one changes no other.
"""
import json
import pathlib
import shutil
import subprocess
import tempfile
import zlib

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

from quantization import quantization

FOLDER = pathlib.Path(__file__).resolve().parent
RUN_ONNX = FOLDER.parents[1] / "interop" / "run_onnx.mjs"
MICROSOFT = "com.microsoft"
# As tests/interop/tensor_files.mjs calls them.
NAMES = {"float32": "f32", "int64": "i64", "int32": "i32", "bool": "bool", "uint8": "u8", "int8": "i8", "uint16": "u16", "int16": "i16"}
TYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "int32": TensorProto.INT32, "bool": TensorProto.BOOL,
         "uint8": TensorProto.UINT8, "int8": TensorProto.INT8, "uint16": TensorProto.UINT16, "int16": TensorProto.INT16}


def run_in_onnxruntime(model, inputs):
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        (scratch / "model.onnx").write_bytes(model.SerializeToString())
        index = {n: {"dtype": NAMES[x.dtype.name], "shape": x.shape, "data": x.flatten().tolist()} for n, x in inputs.items()}
        (scratch / "in.json").write_text(json.dumps(index))
        (scratch / "out").mkdir()
        subprocess.run(["node", RUN_ONNX, scratch / "model.onnx", scratch / "in.json", scratch / "out" / "out.json"], check=True)
        results = {}
        for name, entry in json.loads((scratch / "out" / "out.json").read_text()).items():
            dtype = next(d for d, ours in NAMES.items() if ours == entry["dtype"])
            results[name] = numpy.frombuffer((scratch / "out" / entry["file"]).read_bytes(), dtype).reshape(entry["shape"])
        return results


class Case:
    """Random inputs of one case, and where it is written."""

    def __init__(self, name):
        self.name = name
        self.generator = numpy.random.Generator(numpy.random.PCG64(zlib.crc32(name.encode())))

    def normal(self, *shape):
        return self.generator.standard_normal(shape, numpy.float32)

    def write(self, op, inputs, outputs=1, opset=17, domain="", constants=(), kinds=None, **attributes):
        """inputs: arrays, None where absent; those whose index is in constants become initializers. outputs: how many there are, or
        for each whether it is asked for; kinds: their types, if they are not f32."""
        names = ["" if x is None else f"x{i}" for i, x in enumerate(inputs)]
        asked = [True] * outputs if isinstance(outputs, int) else outputs
        results = [f"y{i}" if wanted else "" for i, wanted in enumerate(asked)]
        node = helper.make_node(op, names, results, name=self.name, domain=domain, **attributes)
        fed = {n: x for i, (n, x) in enumerate(zip(names, inputs)) if n and i not in constants}
        self.write_graph([node], fed, [y for y in results if y],
                         [numpy_helper.from_array(inputs[i], names[i]) for i in constants], opset,
                         dict(zip([y for y in results if y], kinds)) if kinds else None)

    def write_graph(self, nodes, fed, results, initializers=(), opset=17, types=None, ir_version=8):
        """types: of the results, where they are not float32."""
        def model(types):
            graph = helper.make_graph(
                nodes, self.name, [helper.make_tensor_value_info(n, TYPES[x.dtype.name], x.shape) for n, x in fed.items()],
                [helper.make_tensor_value_info(n, TYPES[d], s) for n, (d, s) in types.items()], list(initializers))
            return helper.make_model(graph, producer_name="retune-golden", ir_version=ir_version,
                                     opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1)])

        computed = run_in_onnxruntime(model({n: ((types or {}).get(n, "float32"), None) for n in results}), fed)
        folder = FOLDER / f"test_{self.name}"
        data = folder / "test_data_set_0"
        data.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(
            model({n: (computed[n].dtype.name, computed[n].shape) for n in results}).SerializeToString())
        for kind, tensors in ("input", fed), ("output", {n: computed[n] for n in results}):
            for i, (n, x) in enumerate(tensors.items()):
                (data / f"{kind}_{i}.pb").write_bytes(numpy_helper.from_array(x, n).SerializeToString())


def attention():
    c = Case("attention_shared_keys_causal")
    c.write("Attention", [c.normal(2, 3, 8), c.normal(2, 3, 4), c.normal(2, 3, 4)], opset=23, q_num_heads=4, kv_num_heads=2, is_causal=1)
    c = Case("attention_mask_past")
    past = [c.normal(2, 2, 4, 5), c.normal(2, 2, 4, 5)]
    c.write("Attention", [c.normal(2, 2, 3, 5), c.normal(2, 2, 3, 5), c.normal(2, 2, 3, 5), c.normal(3, 7), *past], 3, opset=23, scale=0.7)
    c = Case("attention_mask_of_flags")
    c.write("Attention", [c.normal(1, 2, 3, 4), c.normal(1, 2, 5, 4), c.normal(1, 2, 5, 4), numpy.arange(15).reshape(3, 5) % 4 != 1], opset=23)
    c = Case("attention_softcap")
    c.write("Attention", [c.normal(1, 2, 3, 4), c.normal(1, 2, 5, 4), c.normal(1, 2, 5, 4)], opset=23, softcap=0.8)


def multi_head_attention():
    def write(c, *rest, outputs=1, queries=3, keys=3, **attributes):
        inputs = [c.normal(2, queries, 8), c.normal(2, keys, 8), c.normal(2, keys, 8), *rest]
        c.write("MultiHeadAttention", inputs, outputs, domain=MICROSOFT, num_heads=2, **attributes)

    c = Case("multiheadattention")
    write(c, keys=5)
    c = Case("multiheadattention_bias")
    write(c, c.normal(24))
    c = Case("multiheadattention_lengths")
    write(c, None, numpy.int32([2, 3]))
    c = Case("multiheadattention_flags")
    write(c, None, numpy.int32([[1, 0, 1], [1, 1, 0]]))
    c = Case("multiheadattention_scores_past")
    write(c, None, None, c.normal(1, 2, 2, 6), c.normal(2, 2, 4, 4), c.normal(2, 2, 4, 4), outputs=3, queries=2, keys=2, scale=0.3)
    c = Case("multiheadattention_causal")
    write(c, unidirectional=1)


def group_query_attention():
    def write(c, inputs, last, total, rotary=(), **attributes):
        inputs += [None] * (5 - len(inputs)) + [numpy.int32(last), numpy.int32(total), *rotary]
        c.write("GroupQueryAttention", inputs, 3, domain=MICROSOFT, constants=(6,), num_heads=2, kv_num_heads=1,
                do_rotary=int(bool(rotary)), **attributes)

    def caches(c):
        angles = c.normal(8, 8)
        return [numpy.cos(angles), numpy.sin(angles)]

    def rows(c, batch, count, size):  # query, key, value
        return [c.normal(batch, count, heads * size) for heads in (2, 1, 1)]

    c = Case("groupqueryattention_start")
    write(c, rows(c, 2, 3, 8), [2, 2], 3)
    c = Case("groupqueryattention_softcap")
    write(c, rows(c, 1, 3, 8), [2], 3, softcap=0.4, scale=0.9)
    c = Case("groupqueryattention_packed_rotary")  # ONNX Runtime turns heads of a multiple of 16 only
    write(c, [c.normal(2, 3, 64)], [2, 2], 3, caches(c))
    c = Case("groupqueryattention_continues")
    write(c, rows(c, 1, 2, 16) + [c.normal(1, 1, 3, 16), c.normal(1, 1, 3, 16)], [4], 5, caches(c))
    c = Case("groupqueryattention_own_lengths")
    write(c, rows(c, 2, 1, 16) + [c.normal(2, 1, 3, 16), c.normal(2, 1, 3, 16)], [3, 1], 4, caches(c), rotary_interleaved=1)


def rotary():
    for name, shape, attributes in [("heads_first", (2, 2, 3, 8), {}), ("interleaved", (2, 2, 3, 8), {"interleaved": 1}),
                                    ("flat", (2, 3, 16), {"num_heads": 2}), ("partial", (2, 2, 3, 8), {"rotary_embedding_dim": 4, "num_heads": 2})]:
        half = attributes.get("rotary_embedding_dim", 8) // 2
        ids = numpy.int64([[0, 1, 2], [4, 0, 3]])
        c = Case(f"rotaryembedding_{name}")
        c.write("RotaryEmbedding", [c.normal(*shape), c.normal(5, half), c.normal(5, half), ids], opset=23, **attributes)
        c = Case(f"rotaryembedding_microsoft_{name}")
        c.write("RotaryEmbedding", [c.normal(*shape), ids, c.normal(5, half), c.normal(5, half)], domain=MICROSOFT, **attributes)
    c = Case("rotaryembedding_own_tables")
    c.write("RotaryEmbedding", [c.normal(2, 2, 3, 8), c.normal(2, 3, 4), c.normal(2, 3, 4)], opset=23)
    c = Case("rotaryembedding_microsoft_offset")
    c.write("RotaryEmbedding", [c.normal(2, 2, 3, 8), numpy.int64([2]), c.normal(5, 4), c.normal(5, 4)], domain=MICROSOFT)


def normalization():
    c = Case("skiplayernormalization")
    c.write("SkipLayerNormalization", [c.normal(2, 3, 8), c.normal(2, 3, 8), c.normal(8)], domain=MICROSOFT, epsilon=1e-5)
    c = Case("skiplayernormalization_bias_sum")
    c.write("SkipLayerNormalization", [c.normal(2, 3, 8), c.normal(2, 3, 8), c.normal(8), c.normal(8), c.normal(8)], [True, False, False, True],
            domain=MICROSOFT, epsilon=1e-5)
    c = Case("skipsimplifiedlayernormalization")
    c.write("SkipSimplifiedLayerNormalization", [c.normal(2, 3, 8), c.normal(2, 3, 8), c.normal(8)], domain=MICROSOFT, epsilon=1e-6)
    c = Case("skipsimplifiedlayernormalization_bias_sum")
    c.write("SkipSimplifiedLayerNormalization", [c.normal(2, 3, 8), c.normal(2, 3, 8), c.normal(8), c.normal(8)], [True, False, False, True],
            domain=MICROSOFT, epsilon=1e-6)


def sums_of_products():
    for name, equation, shapes in [("heads", "bhid,bhjd->bhij", [(1, 3, 5, 7), (1, 3, 2, 7)]), ("implied", "ba,bc", [(5, 3), (5, 2)]),
                                   ("ellipsis", "...ij,...jk->...ki", [(1, 3, 2, 5), (1, 3, 5, 3)]), ("diagonal", "iij->ji", [(3, 3, 2)]),
                                   ("three", "ai,bi,i->ab", [(3, 5), (2, 5), (5,)]), ("empty", "ij,jk->ik", [(0, 3), (3, 2)])]:
        c = Case(f"einsum_{name}")
        c.write("Einsum", [c.normal(*shape) for shape in shapes], equation=equation)


def transposed_convolutions():
    for name, x, w, attributes in [
            ("signal", (1, 3, 7), (3, 2, 5), {"strides": [3], "pads": [1, 2]}),
            ("groups", (3, 4, 5, 3), (4, 3, 3, 2), {"group": 2, "strides": [2, 1], "dilations": [1, 2], "output_padding": [1, 0]}),
            ("shape", (1, 2, 5, 5), (2, 3, 3, 3), {"strides": [2, 2], "output_shape": [9, 10]}),
            ("same", (1, 2, 5), (2, 1, 4), {"strides": [2], "auto_pad": "SAME_UPPER"}),
            ("volume", (1, 2, 3, 2, 3), (2, 2, 2, 3, 1), {"strides": [1, 2, 1]}), ("empty", (0, 2, 5), (2, 3, 3), {})]:
        c = Case(f"convtranspose_{name}")
        channels = w[1] * attributes.get("group", 1)
        c.write("ConvTranspose", [c.normal(*x), c.normal(*w), c.normal(channels)], **attributes)


def recurrences():
    def write(c, op, gates, outputs, batch=3, steps=5, width=3, hidden=4, directions=2, lengths=None, peephole=False, states=True, **attributes):
        inputs = [c.normal(steps, batch, width), c.normal(directions, gates * hidden, width), c.normal(directions, gates * hidden, hidden),
                  c.normal(directions, 2 * gates * hidden), None if lengths is None else numpy.int32(lengths)]
        if states:
            inputs += [c.normal(directions, batch, hidden) for _ in range(2 if op == "LSTM" else 1)]
        if peephole:
            inputs += [c.normal(directions, 3 * hidden)]
        direction = attributes.pop("direction", "bidirectional")
        c.write(op, inputs, outputs, opset=14, hidden_size=hidden, direction=direction, **attributes)

    for op, gates, outputs in [("RNN", 1, 2), ("GRU", 3, 2), ("LSTM", 4, 3)]:
        write(Case(f"{op.lower()}_both_ways"), op, gates, outputs)
        write(Case(f"{op.lower()}_lengths"), op, gates, outputs, lengths=[5, 1, 3])
        write(Case(f"{op.lower()}_reverse"), op, gates, outputs, batch=1, directions=1, direction="reverse", states=False)
        write(Case(f"{op.lower()}_clip"), op, gates, outputs, clip=0.3)
    write(Case("gru_linear_before_reset"), "GRU", 3, 2, linear_before_reset=1)
    write(Case("lstm_peephole"), "LSTM", 4, 3, peephole=True)
    write(Case("lstm_input_forget"), "LSTM", 4, 3, input_forget=1)
    write(Case("rnn_activations"), "RNN", 1, 2, activations=["LeakyRelu", "ScaledTanh"], activation_alpha=[0.2, 1.3], activation_beta=[0.7])
    write(Case("lstm_activations"), "LSTM", 4, 3, directions=1, direction="forward", activations=["HardSigmoid", "Softsign", "Relu"])


def spectra():
    def write(c, op, inputs, opset=17, constants=(), **attributes):
        """Spectra plus one: what is 0 there is f32 rounding in ONNX Runtime, which no relative tolerance covers."""
        names = ["" if x is None else f"x{i}" for i, x in enumerate(inputs)]
        nodes = [helper.make_node(op, names, ["spectrum"], name=c.name, **attributes), helper.make_node("Add", ["spectrum", "one"], ["y0"])]
        fixed = [numpy_helper.from_array(inputs[i], names[i]) for i in constants] + [numpy_helper.from_array(numpy.float32(1), "one")]
        c.write_graph(nodes, {n: x for i, (n, x) in enumerate(zip(names, inputs)) if n and i not in constants}, ["y0"], fixed, opset)

    write(Case("dft_real"), "DFT", [Case("dft_real").normal(3, 15, 1)], onesided=1)
    write(Case("dft_complex_axis"), "DFT", [Case("dft_complex_axis").normal(2, 3, 14, 2), None, numpy.int64(-2)], opset=20, constants=(2,))
    write(Case("dft_length"), "DFT", [Case("dft_length").normal(1, 11, 2), numpy.int64(16)], constants=(1,), axis=1)
    write(Case("dft_inverse"), "DFT", [Case("dft_inverse").normal(2, 12, 2)], inverse=1)
    c = Case("stft_window")
    write(c, "STFT", [c.normal(2, 50, 1), numpy.int64(7), c.normal(20)], constants=(1,))
    for window in ("Hann", "Hamming", "Blackman"):
        c = Case(f"{window.lower()}window")
        c.write(f"{window}Window", [numpy.int64(13)], opset=17, constants=(0,), periodic=int(window != "Hamming"))
    c = Case("melweightmatrix")
    c.write("MelWeightMatrix", [numpy.int64(20), numpy.int64(400), numpy.int64(16000), numpy.float32(60), numpy.float32(7600)], opset=17,
            constants=(0, 1, 2))


def resampling():
    for mode in ("nearest", "linear", "cubic"):
        for coordinates in ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"):
            c = Case(f"resize_{mode}_{coordinates}")
            c.write("Resize", [c.normal(1, 1, 5, 7), None, None, numpy.int64([1, 1, 9, 3])], opset=18, constants=(3,), mode=mode,
                    coordinate_transformation_mode=coordinates, nearest_mode="floor" if coordinates == "asymmetric" else "round_prefer_floor")
    c = Case("resize_scales_10")
    c.write("Resize", [c.normal(1, 1, 5, 7), numpy.float32([1, 1, 1.7, 0.6])], opset=10, constants=(1,))
    c = Case("resize_crop")
    c.write("Resize", [c.normal(1, 1, 5, 7), numpy.float32([0, 0, 0.2, -0.1, 1, 1, 0.9, 1.2]), None, numpy.int64([1, 1, 4, 6])], opset=13,
            constants=(1, 3), mode="linear", coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=3.0)
    c = Case("resize_exclude_outside")
    c.write("Resize", [c.normal(1, 1, 5, 7), None, None, numpy.int64([1, 1, 9, 4])], opset=13, constants=(3,), mode="cubic", exclude_outside=1)
    c = Case("upsample_linear")
    c.write("Upsample", [c.normal(1, 2, 3, 5), numpy.float32([1, 1, 2, 3])], opset=9, constants=(1,), mode="linear")
    for mode in ("bilinear", "bicubic", "nearest"):
        for padding in ("zeros", "border", "reflection"):
            c = Case(f"gridsample_{mode}_{padding}")
            c.write("GridSample", [c.normal(1, 3, 5, 4), c.normal(1, 3, 5, 2)], opset=16, mode=mode, padding_mode=padding,
                    align_corners=int(padding == "border"))


def losses():
    for name, reduction, weighted, ignored in [("none", "none", False, None), ("sum", "sum", True, None), ("mean", "mean", True, 2), ("ignore", "mean", False, -1)]:
        for op, outputs in ("NegativeLogLikelihoodLoss", 1), ("SoftmaxCrossEntropyLoss", 2):
            c = Case(f"{op.lower()}_{name}")
            labels = numpy.int64([[0, 2, 1], [4, 2, 3]])
            if ignored == -1:
                labels[1, 2] = -1
            inputs = [c.normal(2, 5, 3), labels] + ([abs(c.normal(5))] if weighted else [])
            c.write(op, inputs, outputs, opset=13, reduction=reduction, **({} if ignored is None else {"ignore_index": ignored}))


def planes_and_norms():
    c = Case("lppool")
    c.write("LpPool", [c.normal(1, 3, 7, 5)], opset=11, kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 0, 1], p=3)
    c = Case("globallppool")
    c.write("GlobalLpPool", [c.normal(3, 2, 5)], p=3)
    c = Case("globalmaxpool")
    c.write("GlobalMaxPool", [c.normal(1, 3, 5, 7)])
    c = Case("lpnormalization")
    c.write("LpNormalization", [c.normal(3, 5, 2)], axis=1, p=1)
    c = Case("lrn")
    c.write("LRN", [c.normal(1, 7, 3, 2)], size=5, alpha=0.5, beta=0.6, bias=1.5)
    c = Case("meanvariancenormalization")
    c.write("MeanVarianceNormalization", [c.normal(3, 2, 5, 3)], axes=[0, 2, 3])


def moves():
    for mode in ("DCR", "CRD"):
        c = Case(f"depthtospace_{mode.lower()}")
        c.write("DepthToSpace", [c.normal(1, 18, 2, 3)], opset=13, blocksize=3, mode=mode)
    c = Case("spacetodepth")
    c.write("SpaceToDepth", [c.normal(1, 2, 6, 3)], opset=13, blocksize=3)
    c = Case("centercroppad")
    c.write("CenterCropPad", [c.normal(7, 5, 3), numpy.int64([4, 8])], opset=18, constants=(1,), axes=[0, 2])
    c = Case("col2im")
    c.write("Col2Im", [c.normal(1, 12, 6), numpy.int64([4, 5]), numpy.int64([2, 3])], opset=18, constants=(1, 2), strides=[2, 1],
            dilations=[1, 1])
    c = Case("maxunpool")
    c.write("MaxUnpool", [c.normal(1, 1, 2, 3), numpy.int64([[[[1, 3, 11], [12, 20, 17]]]])], opset=11, kernel_shape=[2, 2], strides=[2, 2])
    c = Case("reversesequence")
    c.write("ReverseSequence", [c.normal(5, 3, 2), numpy.int64([5, 1, 3])], opset=10)
    c = Case("unique")
    c.write("Unique", [numpy.int64([[3, 1, 3, 0], [1, 1, 0, 7]])], 4, opset=11, kinds=["int64"] * 4, sorted=0)
    c = Case("nonmaxsuppression")
    corners = numpy.abs(c.normal(1, 9, 4))
    c.write("NonMaxSuppression", [corners, c.normal(1, 2, 9), numpy.int64([4]), numpy.float32([0.2]), numpy.float32([-0.5])], opset=11,
            constants=(2, 3, 4), kinds=["int64"])
    c = Case("det")
    c.write("Det", [c.normal(3, 5, 5)], opset=11)
    c = Case("hardmax")
    c.write("Hardmax", [c.normal(3, 1, 5)], opset=13)


def functions_of_an_element():
    for name in ("Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Atanh"):
        c = Case(name.lower())
        c.write(name, [numpy.tanh(c.normal(3, 5))], opset=9)
    c = Case("acosh")
    c.write("Acosh", [1 + abs(c.normal(3, 5))], opset=9)
    for name, opset, attributes in [("Celu", 12, {"alpha": 1.4}), ("ThresholdedRelu", 10, {"alpha": 0.3}), ("Shrink", 9, {"bias": 0.2, "lambd": 0.4}),
                                    ("Mish", 18, {})]:
        c = Case(name.lower())
        c.write(name, [c.normal(3, 5)], opset=opset, **attributes)


def states():
    for name, rule, decay, beta in [("linear", "linear", 0, 0), ("gated", "gated", 2, 0), ("delta", "gated_delta", 8, 2)]:
        c = Case(f"linearattention_microsoft_{name}")
        c.write("LinearAttention", [c.normal(1, 5, 16), c.normal(1, 5, 8), c.normal(1, 5, 8), c.normal(1, 2, 4, 4),
                                    -abs(c.normal(1, 5, decay)) if decay else None, abs(c.normal(1, 5, beta)) / 4 if beta else None], 2,
                domain=MICROSOFT, q_num_heads=4, kv_num_heads=2, update_rule=rule)
    c = Case("causalconvwithstate_microsoft")
    c.write("CausalConvWithState", [c.normal(1, 3, 5), c.normal(3, 1, 4), c.normal(3), c.normal(1, 3, 3)], 2, domain=MICROSOFT, activation="silu")


def others():
    for name, a, b, attributes in [("right", (2, 3, 4), (2, 5, 4), {"transB": 1}), ("left", (2, 4, 3), (4, 5), {"transA": 1}),
                                   ("both", (4, 3), (5, 4), {"transA": 1, "transB": 1, "alpha": -0.5})]:
        c = Case(f"fusedmatmul_{name}")
        c.write("FusedMatMul", [c.normal(*a), c.normal(*b)], domain=MICROSOFT, **attributes)
    for condition in (True, False):
        c = Case(f"if_{condition}".lower())

        def branch(op):
            return helper.make_graph([helper.make_node(op, ["x"], [f"{op}_result"])], op, [],
                                     [helper.make_tensor_value_info(f"{op}_result", TensorProto.FLOAT, (2, 3))])

        node = helper.make_node("If", ["condition"], ["y"], name=c.name, then_branch=branch("Neg"), else_branch=branch("Exp"))
        c.write_graph([node], {"condition": numpy.array(condition), "x": c.normal(2, 3)}, ["y"])


def main():
    for old in FOLDER.glob("test_*"):
        shutil.rmtree(old)
    for family in (attention, multi_head_attention, group_query_attention, rotary, normalization, sums_of_products, transposed_convolutions,
                   recurrences, spectra, resampling, losses, planes_and_norms, moves, functions_of_an_element, states, others):
        family()
    quantization(Case)
    files = [f for f in FOLDER.rglob("*") if f.is_file()]
    print(f"{len(list(FOLDER.glob('test_*')))} tests, {sum(f.stat().st_size for f in files)} bytes in {len(files)} files")


if __name__ == "__main__":
    main()
