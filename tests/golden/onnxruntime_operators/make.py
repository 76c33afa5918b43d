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

    def write(self, op, inputs, outputs=1, opset=17, domain="", constants=(), **attributes):
        """inputs: arrays, None where absent; those whose index is in constants become initializers. outputs: how many there are, or
        for each whether it is asked for."""
        names = ["" if x is None else f"x{i}" for i, x in enumerate(inputs)]
        asked = [True] * outputs if isinstance(outputs, int) else outputs
        results = [f"y{i}" if wanted else "" for i, wanted in enumerate(asked)]
        node = helper.make_node(op, names, results, name=self.name, domain=domain, **attributes)
        fed = {n: x for i, (n, x) in enumerate(zip(names, inputs)) if n and i not in constants}
        self.write_graph([node], fed, [y for y in results if y],
                         [numpy_helper.from_array(inputs[i], names[i]) for i in constants], opset)

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
    for family in (attention, multi_head_attention, group_query_attention, rotary, normalization, others):
        family()
    quantization(Case)
    files = [f for f in FOLDER.rglob("*") if f.is_file()]
    print(f"{len(list(FOLDER.glob('test_*')))} tests, {sum(f.stat().st_size for f in files)} bytes in {len(files)} files")


if __name__ == "__main__":
    main()
