// Runs an ONNX graph once in ONNX Runtime: an oracle for what Retune computes and for what it exports.
//
//   node run_onnx.mjs MODEL.onnx INPUTS.json OUTPUTS.json
//
// Tensors as tensor_files.mjs describes. The graph runs as it stands in the file (no fusion that could hide a
// difference) on one thread.
import ort from 'onnxruntime-node';
import { read_tensors, write_tensors } from './tensor_files.mjs';

const [model, inputs, outputs] = process.argv.slice(2);
if (outputs === undefined) {
  console.error('usage: node run_onnx.mjs MODEL.onnx INPUTS.json OUTPUTS.json');
  process.exit(2);
}
const session = await ort.InferenceSession.create(model, {
  executionProviders: ['cpu'],
  graphOptimizationLevel: 'disabled',
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  logSeverityLevel: 3,
});
await write_tensors(outputs, await session.run(await read_tensors(inputs)));
await session.release();
