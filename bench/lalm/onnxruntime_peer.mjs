// One contender of the benchmark: ONNX Runtime, the three graphs of a bundle one after the other. Prints one JSON line as
// bench/lalm/measurement.h says.
//
//   node onnxruntime_peer.mjs BUNDLE forward THREADS [NAME=VALUE ...]      the names are those of bench/lalm/prompts.h
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import path from 'node:path';

const require = createRequire(new URL('../../tests/interop/package.json', import.meta.url));
const ort = require('onnxruntime-node');
const [bundle, threads] = [process.argv[2], Number(process.argv[4])];
const load = { batch: 32, clips: 24, text: 72, frames: 200, runs: 5, warm_up: 2 };
for (const option of process.argv.slice(5)) load[option.split('=')[0]] = Number(option.split('=')[1]);

const config = JSON.parse(readFileSync(path.join(bundle, 'config.json'), 'utf8'));
const text = config.text_config;
const mels = JSON.parse(readFileSync(path.join(bundle, 'preprocessor_config.json'), 'utf8')).feature_size;
const open = (name) => ort.InferenceSession.create(path.join(bundle, 'onnx', `${name}.onnx`), { intraOpNumThreads: threads, interOpNumThreads: 1 });
const [encoder, embed, decoder] = await Promise.all([
  load.clips > 0 ? open('audio_encoder') : null, open('embed_tokens'), open('decoder_model_merged')]);

const frames = Math.floor((load.frames - 1) / 2) + 1;
const slots = load.clips > 0 ? Math.ceil(frames / config.stack_factor) + 1 : 0;
const length = slots + load.text;
const i64 = (values, dims) => new ort.Tensor('int64', BigInt64Array.from(values, BigInt), dims);
const mel = new ort.Tensor('float32', Float32Array.from({ length: load.clips * mels * load.frames }, () => Math.random() - 0.5), [load.clips, mels, load.frames]);
const ids = i64(Array.from({ length: load.batch * length }, (_, i) => (i * 7) % config.ignore_index), [load.batch, length]);
const feeds = {
  attention_mask: i64(new Array(load.batch * length).fill(1), [load.batch, length]),
  position_ids: i64(Array.from({ length: load.batch * length }, (_, i) => i % length), [load.batch, length]),
};
for (let i = 0; i < text.num_hidden_layers; ++i)
  for (const half of ['key', 'value'])
    feeds[`past_key_values.${i}.${half}`] = new ort.Tensor('float32', new Float32Array(0), [load.batch, text.num_key_value_heads, 0, text.head_dim]);

const forward = async () => {
  const { inputs_embeds } = await embed.run({ input_ids: ids });
  const audio_features = load.clips > 0 ? (await encoder.run({ audio_values: mel })).audio_features : null;
  const width = text.hidden_size;
  for (let clip = 0; clip < load.clips; ++clip)
    inputs_embeds.data.set(audio_features.data.subarray(clip * slots * width, (clip + 1) * slots * width), (clip * length + 3) * width);
  await decoder.run({ inputs_embeds, ...feeds }, ['logits']);
};

for (let i = 0; i < load.warm_up; ++i) await forward();
const seconds = [];
for (let i = 0; i < load.runs; ++i) {
  const start = process.hrtime.bigint();
  await forward();
  seconds.push(Number(process.hrtime.bigint() - start) / 1e9);
}
const version = require('onnxruntime-node/package.json').version;
console.log(JSON.stringify({ peer: `ONNX Runtime ${version}`, threads, unit: 's', values: seconds }));
