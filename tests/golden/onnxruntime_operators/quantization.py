"""Quantised operators: cases of make.py.

Weights are initializers, as in models; types that NumPy lacks (4-bit integers, 8-bit floats) stay inside a graph, between its
initializers and operators that give wider ones.
"""
import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

MICROSOFT = "com.microsoft"
UINT4, INT4, E4M3FN, E5M2 = 21, 22, 17, 19


def packed(name, data_type, shape, codes):
    """4-bit codes as ONNX stores them, the first in the low half of a byte."""
    codes = numpy.asarray(codes)
    flat = numpy.append(codes.flatten(), [0] * (codes.size % 2)).astype(numpy.int64) & 15
    return TensorProto(name=name, data_type=data_type, dims=shape, raw_data=(flat[0::2] | flat[1::2] << 4).astype(numpy.uint8).tobytes())


def scale_of(c, shape, least):
    return numpy.asarray(numpy.abs(c.normal(*shape)) * numpy.float32(0.1) + numpy.float32(least), numpy.float32)


class Graph:
    """One node, or several, of a case: inputs that are fed, initializers, outputs of known types."""

    def __init__(self, case):
        self.case, self.fed, self.initializers, self.nodes = case, {}, [], []

    def feed(self, x):
        name = f"x{len(self.fed)}"
        self.fed[name] = x
        return name

    def keep(self, x):
        name = f"w{len(self.initializers)}"
        self.initializers.append(x(name) if callable(x) else numpy_helper.from_array(numpy.asarray(x), name))
        return name

    def op(self, op, inputs, outputs=1, domain="", **attributes):
        names = [f"{op}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, name=f"{self.case.name}_{len(self.nodes)}", domain=domain, **attributes))
        return names if outputs > 1 else names[0]

    def write(self, outputs, opset=21):
        """outputs: value -> NumPy's name of its type."""
        self.case.write_graph(self.nodes, self.fed, list(outputs), self.initializers, opset, types=outputs, ir_version=10)


def quantize(case):
    for name, dtype, shape, scales, attributes in [
            ("u8", "uint8", (3, 5), (), {}), ("i8_axis", "int8", (2, 5, 3), (5,), {"axis": 1}), ("i16_last", "int16", (4, 7), (7,), {"axis": -1}),
            ("u8_blocks", "uint8", (3, 11, 2), (3, 3, 2), {"axis": 1, "block_size": 4}), ("empty", "uint8", (0, 4), (4,), {"axis": 1})]:
        c = case(f"quantizelinear_{name}")
        g = Graph(c)
        zero = numpy.asarray(c.generator.integers(0, 9, scales), dtype)
        y = g.op("QuantizeLinear", [g.feed(9 * c.normal(*shape)), g.keep(scale_of(c, scales, 0.01)), g.keep(zero)],
                 **attributes)
        g.write({y: dtype})
    for name, data_type in [("i4", INT4), ("u4", UINT4), ("e4m3fn", E4M3FN), ("e5m2", E5M2)]:
        c = case(f"quantizelinear_{name}_and_back")
        g = Graph(c)
        x, scale = g.feed(3 * c.normal(3, 7)), g.keep(numpy.float32(0.37))
        g.write({g.op("DequantizeLinear", [g.op("QuantizeLinear", [x, scale], output_dtype=data_type), scale]): "float32"})


def dequantize(case):
    def blocks(c, shape):
        return g.keep(lambda n: packed(n, INT4, shape, c.generator.integers(-8, 8, shape)))

    for name, shape, scales, attributes in [("i4_blocks", (5, 32), (5, 2), {"axis": 1, "block_size": 16}), ("i4_first", (32, 3), (2, 3), {"axis": 0, "block_size": 16}),
                                            ("i4_axis", (5, 3), (5,), {"axis": 0}), ("i4", (7,), (), {})]:
        c = case(f"dequantizelinear_{name}")
        g = Graph(c)
        inputs = [blocks(c, shape), g.keep(scale_of(c, scales, 0.1)), blocks(c, scales)]
        g.write({g.op("DequantizeLinear", inputs, **attributes): "float32"})
    for name, dtype, scales, with_zero in [("i8_axis", "int8", (4,), True), ("u8", "uint8", (), True), ("i32", "int32", (), False)]:
        c = case(f"dequantizelinear_{name}")
        g = Graph(c)
        codes = c.generator.integers(-100, 100, (3, 4, 5)).astype(dtype)
        inputs = [g.feed(codes), g.keep(scale_of(c, scales, 0.1))] + ([g.keep(numpy.full(scales, 7, dtype))] if with_zero else [])
        g.write({g.op("DequantizeLinear", inputs, axis=1): "float32"})
    for name, x in [("odd", lambda c: c.normal(3, 7)), ("positive", lambda c: numpy.abs(c.normal(5))), ("zero", lambda c: numpy.zeros((2, 3), numpy.float32))]:
        c = case(f"dynamicquantizelinear_{name}")
        g = Graph(c)
        y, scale, zero = g.op("DynamicQuantizeLinear", [g.feed(x(c))], 3)
        g.write({y: "uint8", scale: "float32", zero: "uint8"})


def integers(case):
    def codes(c, dtype, *shape):
        low, high = (0, 256) if dtype == "uint8" else (-128, 128)
        return numpy.asarray(c.generator.integers(low, high, shape), dtype)

    for name, a, b, types, zero in [("deep", (3, 601), (601, 5), ("uint8", "int8"), ()), ("stack", (2, 3, 4), (2, 4, 5), ("uint8", "uint8"), ()),
                                    ("columns", (1, 33), (33, 300), ("int8", "int8"), (300,)), ("batch0", (0, 2, 3), (3, 4), ("uint8", "int8"), ()),
                                    ("vector", (7,), (7, 3), ("uint8", "int8"), ())]:
        c = case(f"matmulinteger_{name}")
        g = Graph(c)
        inputs = [g.feed(codes(c, types[0], *a)), g.keep(codes(c, types[1], *b)), g.keep(codes(c, types[0])), g.keep(codes(c, types[1], *zero))]
        g.write({g.op("MatMulInteger", inputs): "int32"})
    for name, x, w, attributes in [("stride", (2, 3, 7, 9), (4, 3, 3, 2), {"strides": [2, 1], "pads": [1, 0, 1, 1]}), ("groups", (1, 4, 5, 5), (6, 2, 3, 3), {"group": 2}),
                                   ("dilated", (1, 2, 9, 9), (3, 2, 3, 3), {"dilations": [2, 3], "pads": [2, 1, 0, 3]})]:
        c = case(f"convinteger_{name}")
        g = Graph(c)
        inputs = [g.feed(codes(c, "uint8", *x)), g.keep(codes(c, "uint8", *w)), g.keep(numpy.array(131, numpy.uint8)), g.keep(numpy.array(77, numpy.uint8))]
        g.write({g.op("ConvInteger", inputs, **attributes): "int32"})
    for name, types, a, b, columns in [("u8", ("uint8", "uint8", "uint8"), (3, 9), (9, 5), ()), ("columns", ("uint8", "int8", "uint8"), (2, 3, 8), (8, 6), (6,)),
                                       ("i8", ("int8", "int8", "int8"), (1, 17), (17, 3), ())]:
        c = case(f"qlinearmatmul_{name}")
        g = Graph(c)
        zeros = [g.keep(numpy.full(columns if i == 1 else (), 3, d)) for i, d in enumerate(types)]
        scales = [g.keep(scale_of(c, columns if i == 1 else (), 0.01)) for i in range(2)]
        y_scale = g.keep(numpy.float32(1.3))
        y = g.op("QLinearMatMul", [g.feed(codes(c, types[0], *a)), scales[0], zeros[0], g.keep(codes(c, types[1], *b)), scales[1], zeros[1], y_scale, zeros[2]])
        g.write({y: types[2]})
    for name, x, w, channels, attributes in [("plain", (1, 3, 6, 7), (4, 3, 3, 3), (), {"pads": [1, 1, 1, 1]}), ("channels", (2, 2, 9), (5, 2, 3), (5,), {"strides": [2]})]:
        c = case(f"qlinearconv_{name}")
        g = Graph(c)
        bias = g.keep(c.generator.integers(-999, 999, w[0]).astype("int32"))
        w_scale = g.keep(scale_of(c, channels, 0.01))
        inputs = [g.feed(codes(c, "uint8", *x)), g.keep(numpy.float32(0.1)), g.keep(numpy.uint8(99)), g.keep(codes(c, "int8", *w)), w_scale,
                  g.keep(numpy.zeros(channels, numpy.int8)), g.keep(numpy.float32(1.1)), g.keep(numpy.uint8(120)), bias]
        g.write({g.op("QLinearConv", inputs, **attributes): "uint8"})
    c = case("matmulintegertofloat")
    g = Graph(c)
    inputs = [g.feed(codes(c, "uint8", 2, 5, 9)), g.keep(codes(c, "int8", 9, 4)), g.keep(numpy.float32([0.02])), g.keep(numpy.abs(c.normal(4))),
              g.keep(numpy.array(9, numpy.uint8)), g.keep(numpy.zeros(4, numpy.int8)), g.keep(c.normal(4))]
    g.write({g.op("MatMulIntegerToFloat", inputs, domain=MICROSOFT): "float32"})
    c = case("dynamicquantizematmul")
    g = Graph(c)
    inputs = [g.feed(c.normal(3, 9)), g.keep(codes(c, "int8", 9, 4)), g.keep(numpy.float32([0.02])), g.keep(numpy.array([3], numpy.int8)), g.keep(c.normal(4))]
    g.write({g.op("DynamicQuantizeMatMul", inputs, domain=MICROSOFT): "float32"})


def blocks(case):
    for name, rows, n, k, bits, block, zeros, bias in [
            ("one_row", (1,), 7, 64, 4, 32, None, False), ("rows", (2, 5), 9, 80, 4, 16, "packed", True), ("float_zeros", (3,), 5, 48, 4, 32, "floats", False),
            ("ragged", (1, 3), 6, 50, 4, 16, "packed", False), ("eight_bits", (6,), 4, 33, 8, 32, "packed", False), ("two_bits", (2,), 5, 64, 2, 32, None, False),
            ("batch0", (0, 2), 3, 32, 4, 32, None, False), ("wide", (9,), 130, 96, 4, 32, None, True)]:
        c = case(f"matmulnbits_{name}")
        g = Graph(c)
        count = -(-k // block)
        inputs = [g.feed(c.normal(*rows, k)), g.keep(c.generator.integers(0, 256, (n, count, block * bits // 8)).astype("uint8")), g.keep(c.normal(n, count))]
        if zeros == "packed":
            inputs.append(g.keep(c.generator.integers(0, 256, (n, -(-count * bits // 8))).astype("uint8")))
        elif zeros == "floats":
            inputs.append(g.keep(8 + c.normal(n, count)))
        if bias:
            inputs += [""] * (5 - len(inputs)) + [g.keep(c.normal(n))]
        g.write({g.op("MatMulNBits", inputs, domain=MICROSOFT, N=n, K=k, bits=bits, block_size=block): "float32"})
    for name, quant_type, rows in [("fp4", 0, 3), ("nf4", 1, 1), ("nf4_rows", 1, 7)]:
        c = case(f"matmulbnb4_{name}")
        g = Graph(c)
        n, k, block = 6, 40, 16
        inputs = [g.feed(c.normal(rows, k)), g.keep(c.generator.integers(0, 256, (n * k + 1) // 2).astype("uint8")),
                  g.keep(numpy.abs(c.normal(-(-n * k // block))))]
        g.write({g.op("MatMulBnb4", inputs, domain=MICROSOFT, N=n, K=k, block_size=block, quant_type=quant_type): "float32"})
    for name, data_type in [("i4", INT4), ("u4", UINT4)]:
        c = case(f"gatherblockquantized_{name}")
        g = Graph(c)
        low = -8 if data_type == INT4 else 0
        inputs = [g.keep(lambda n: packed(n, data_type, (5, 32), c.generator.integers(low, low + 16, (5, 32)))), g.feed(numpy.int64([[4, 0], [-1, 2]])),
                  g.keep(c.normal(5, 2)), g.keep(lambda n: packed(n, data_type, (5, 2), c.generator.integers(low, low + 16, (5, 2))))]
        g.write({g.op("GatherBlockQuantized", inputs, domain=MICROSOFT, block_size=16, gather_axis=0, quantize_axis=1): "float32"})
    for bits, with_zeros in [(4, False), (4, True), (8, True)]:
        c = case(f"gatherblockquantized_{bits}_bits{'_zeros' if with_zeros else ''}")
        g = Graph(c)
        inputs = [g.keep(c.generator.integers(0, 256, (6, 48 * bits // 8)).astype("uint8")), g.feed(numpy.int32([5, 1, 1])), g.keep(c.normal(6, 3))]
        if with_zeros:
            inputs.append(g.keep(c.generator.integers(0, 256, (6, -(-3 * bits // 8))).astype("uint8")))
        g.write({g.op("GatherBlockQuantized", inputs, domain=MICROSOFT, block_size=16, quantize_axis=1, bits=bits): "float32"})


def quantization(case):
    for family in (quantize, dequantize, integers, blocks):
        family(case)
