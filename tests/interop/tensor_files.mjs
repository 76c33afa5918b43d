// Tensors on disk as the interop programs exchange them with the tests: a JSON object
//
//   {"NAME": {"dtype": "f32", "shape": [1, 80, 200], "file": "x.bin"}, ...}
//
// whose files lie beside it: little-endian, row-major, no header. "data": [...] instead of "file" holds small tensors.
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Tensor } from 'onnxruntime-node';

// Our name of an element type -> ONNX Runtime's name and the array that holds it (16-bit floats as their bits).
const kTypes = {
  f32: ['float32', Float32Array],
  f64: ['float64', Float64Array],
  f16: ['float16', Uint16Array],
  i8: ['int8', Int8Array],
  u8: ['uint8', Uint8Array],
  i16: ['int16', Int16Array],
  u16: ['uint16', Uint16Array],
  i32: ['int32', Int32Array],
  u32: ['uint32', Uint32Array],
  i64: ['int64', BigInt64Array],
  u64: ['uint64', BigUint64Array],
  bool: ['bool', Uint8Array],
};

const elements = (shape) => shape.reduce((product, extent) => product * extent, 1);

function typed(name, { dtype, shape, data }, bytes) {
  if (!(dtype in kTypes)) throw new Error(`tensor '${name}': unknown dtype '${dtype}'`);
  const [, ArrayType] = kTypes[dtype];
  const big = ArrayType === BigInt64Array || ArrayType === BigUint64Array;
  const values = bytes
    ? new ArrayType(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength))
    : ArrayType.from(big ? data.map(BigInt) : data);
  if (values.length !== elements(shape)) {
    throw new Error(`tensor '${name}': shape [${shape}] needs ${elements(shape)} elements, got ${values.length}`);
  }
  return values;
}

// Reads the JSON file `path`: an object of name -> onnxruntime Tensor.
export async function read_tensors(path) {
  const tensors = {};
  for (const [name, entry] of Object.entries(JSON.parse(await readFile(path, 'utf8')))) {
    const bytes = entry.file === undefined ? null : await readFile(join(dirname(path), entry.file));
    tensors[name] = new Tensor(kTypes[entry.dtype]?.[0], typed(name, entry, bytes), entry.shape);
  }
  return tensors;
}

// Writes name -> tensor (of ONNX Runtime or of transformers.js) as `path` and a file a tensor beside it.
export async function write_tensors(path, tensors) {
  const index = {};
  for (const [number, [name, tensor]] of Object.entries(tensors).entries()) {
    const dtype = Object.keys(kTypes).find((key) => kTypes[key][0] === tensor.type);
    if (dtype === undefined) throw new Error(`tensor '${name}': cannot write type ${tensor.type}`);
    const file = `${number}.bin`;
    const { buffer, byteOffset, byteLength } = tensor.data;
    await writeFile(join(dirname(path), file), new Uint8Array(buffer, byteOffset, byteLength));
    index[name] = { dtype, shape: Array.from(tensor.dims, Number), file };
  }
  await writeFile(path, JSON.stringify(index, null, 1) + '\n');
}
