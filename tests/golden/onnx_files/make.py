#!/usr/bin/python3
"""Writes the ONNX files of this folder and expected.txt, what Retune must read from them.

Made with Debian 12's python3-onnx 1.12.0, python3-numpy 1.24.2 and python3-protobuf 3.21.12. It writes into its own folder.
expected.txt has a line for each tensor: file, tensor, type, dims separated by x (- for a scalar), bytes in hexadecimal.
"""

import hashlib
import os

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper

expected = []


def expect(file, name, dtype, array_bytes, dims):
    expected.append(f"{file} {name} {dtype} {'x'.join(map(str, dims)) or '-'} {array_bytes.hex() or '-'}")


def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def entry(key, value):
    return field(1, key.encode()) + field(2, value.encode())


def model(initializers, nodes=(), **kwargs):
    nodes = list(nodes) or [helper.make_node("Identity", [initializers[0].name], ["y"])]
    graph = helper.make_graph(nodes, "g", [], [helper.make_empty_tensor_value_info(nodes[-1].output[0])], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="make.py", **kwargs)


def typed(name, data_type, dims, **fields):
    tensor = T(name=name, data_type=data_type, dims=dims)
    for key, values in fields.items():
        getattr(tensor, key).extend(values)
    return tensor


def write_typed():
    """Every type in its typed field."""
    cases = [
        ("f32", T.FLOAT, np.float32, "float_data", [1.5, -0.0, 3e-40]),
        ("f64", T.DOUBLE, np.float64, "double_data", [1.5, -2e300]),
        ("i8", T.INT8, np.int8, "int32_data", [-128, -1, 127]),
        ("i16", T.INT16, np.int16, "int32_data", [-32768, 5]),
        ("i32", T.INT32, np.int32, "int32_data", [-(2**31), -1, 2**31 - 1]),
        ("i64", T.INT64, np.int64, "int64_data", [-(2**63), -1, 2**63 - 1]),
        ("u8", T.UINT8, np.uint8, "int32_data", [0, 255]),
        ("u16", T.UINT16, np.uint16, "int32_data", [65535, 1]),
        ("u32", T.UINT32, np.uint32, "uint64_data", [2**32 - 1, 7]),
        ("u64", T.UINT64, np.uint64, "uint64_data", [2**64 - 1, 7]),
        ("bool", T.BOOL, np.bool_, "int32_data", [1, 0, 1]),
    ]
    tensors = []
    for name, data_type, dtype, where, values in cases:
        tensors.append(typed(name, data_type, [len(values)], **{where: values}))
        expect("typed.onnx", name, name, np.array(values, dtype).tobytes(), [len(values)])
    halves = np.array([1.5, -2.0, 6e-8, np.inf], np.float16)
    tensors.append(typed("f16", T.FLOAT16, [2, 2], int32_data=halves.view(np.uint16).tolist()))
    expect("typed.onnx", "f16", "f16", halves.tobytes(), [2, 2])
    upper = (np.array([1.5, -2.0], np.float32).view(np.uint32) >> 16).astype(np.uint16)
    tensors.append(typed("bf16", T.BFLOAT16, [2], int32_data=upper.tolist()))
    expect("typed.onnx", "bf16", "bf16", upper.tobytes(), [2])
    tensors.append(typed("scalar", T.FLOAT, [], float_data=[4.25]))
    expect("typed.onnx", "scalar", "f32", np.float32(4.25).tobytes(), [])
    tensors.append(typed("none", T.FLOAT, [0, 3]))
    expect("typed.onnx", "none", "f32", b"", [0, 3])
    tensors.append(typed("text", T.STRING, [2], string_data=[b"a", b""]))  # kept, not computed with
    tensors.append(T(name="int4", data_type=22, dims=[3], raw_data=b"\x21\x03"))
    tensors.append(T(name="fp8", data_type=17, dims=[2], raw_data=b"\x38\x40"))
    onnx.save(model(tensors), "typed.onnx")


def write_external():
    """Two data files; offsets aligned, misaligned, shared, with unused bytes between; in an attribute too."""
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    b = np.array([1, -1], np.int64)
    c = np.array([0.5, 2], np.float16)
    data = bytearray(b"\xee" * 8192)
    data[4096:4120] = a.tobytes()
    data[4121:4137] = b.tobytes()
    with open("external.onnx_data", "wb") as out:
        out.write(data)
    with open("external.onnx_data_1", "wb") as out:
        out.write(c.tobytes())

    def external(name, data_type, dims, **keys):
        tensor = T(name=name, data_type=data_type, dims=dims, data_location=T.EXTERNAL)
        for key, value in keys.items():
            tensor.external_data.add(key=key, value=str(value))
        return tensor

    digest = hashlib.sha1(bytes(data)).hexdigest()
    tensors = [
        external("a", T.FLOAT, [2, 3], location="external.onnx_data", offset=4096, length=24, checksum=digest),
        external("c", T.FLOAT16, [2], location="./external.onnx_data_1", checksum=hashlib.sha1(c.tobytes()).hexdigest()),
        external("first_row", T.FLOAT, [3], location="external.onnx_data", offset=4096, length=12, later_key="kept"),
        typed("inline", T.FLOAT, [1], float_data=[7.0]),
    ]
    inner = external("", T.INT64, [2], location="external.onnx_data", offset=4121, length=16, checksum=digest)
    nodes = [helper.make_node("Constant", [], ["b"], value=inner), helper.make_node("Identity", ["a"], ["y"])]
    onnx.save(model(tensors, nodes), "external.onnx")
    expect("external.onnx", "a", "f32", a.tobytes(), [2, 3])
    expect("external.onnx", "b", "i64", b.tobytes(), [2])
    expect("external.onnx", "c", "f16", c.tobytes(), [2])
    expect("external.onnx", "first_row", "f32", a[0].tobytes(), [3])
    expect("external.onnx", "inline", "f32", np.float32(7).tobytes(), [1])


def write_newer():
    """Fields beyond the 1.12 schema, in unusual orders and encodings, as bytes that no 1.12 library writes."""
    w = np.array([1, 2, 3, 4], np.float32)
    one = np.array([1, -2, 300], np.int64)
    # Values half packed in two pieces, half single; before type and dims; metadata (field 16) between; a length in two bytes too many.
    weight = field(4, w[:1].tobytes()) + field(16, entry("origin", "unit test")) + field(8, b"w")
    weight += varint(4 << 3 | 5) + w[1:2].tobytes() + b"\x22\x88\x80\x00" + w[2:].tobytes()
    weight += varint(1 << 3) + b"\x04" + varint(2 << 3) + b"\x01"
    value = varint(2 << 3) + b"\x07" + field(1, b"\x03")  # dims packed
    for number in one.tolist():
        value += varint(7 << 3) + varint(number % 2**64)
    attribute = field(1, b"value") + field(5, value) + varint(20 << 3) + b"\x04"
    # Node: metadata_props 9, overload 8, then the attribute after them.
    node = field(9, entry("namespace", "model.layers.0")) + field(8, b"over") + field(4, b"Constant") + field(2, b"c")
    node += field(5, attribute) + field(10, b"\x0a\x01x")

    def branch(name):
        inner = numpy_helper.from_array(w * 2, "shared")
        graph = helper.make_graph(
            [helper.make_node("Identity", ["shared"], [name])], name, [], [helper.make_empty_tensor_value_info(name)], [inner]
        )
        return graph

    choice = helper.make_node("If", ["cond"], ["y"], then_branch=branch("t"), else_branch=branch("e"))
    cond = helper.make_tensor("cond", T.BOOL, [], [True])
    sparse = helper.make_sparse_tensor(
        helper.make_tensor("sparse", T.FLOAT, [1], [9.0]), helper.make_tensor("at", T.INT64, [1], [2]), [4]
    )
    graph = field(16, entry("graph", "meta")) + field(1, node) + field(1, choice.SerializeToString()) + field(2, b"g")
    graph += field(5, weight) + field(15, sparse.SerializeToString()) + field(5, cond.SerializeToString())
    graph += field(12, helper.make_empty_tensor_value_info("y").SerializeToString())
    function = field(1, b"f") + field(7, node) + field(13, b"overload") + field(14, entry("k", "v"))
    content = field(26, b"\x0a\x03dev") + field(25, function) + field(7, graph) + varint(1 << 3) + b"\x0d"
    content += field(8, varint(2 << 3) + b"\x19") + field(14, entry("author", "somebody")) + field(99, b"unheard of")
    with open("newer.onnx", "wb") as out:
        out.write(content)
    expect("newer.onnx", "w", "f32", w.tobytes(), [4])
    expect("newer.onnx", "c", "i64", one.tobytes(), [3])
    expect("newer.onnx", "shared", "f32", (w * 2).tobytes(), [4])
    expect("newer.onnx", "cond", "bool", b"\x01", [])


os.chdir(os.path.dirname(os.path.abspath(__file__)))
write_typed()
write_external()
write_newer()
with open("expected.txt", "w") as out:
    out.write("\n".join(expected) + "\n")
