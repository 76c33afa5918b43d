// One contender of the benchmark: ONNX Runtime, forward only, the three graphs of a bundle one after the other. Prints one JSON line.
//
//   node onnxruntime_peer.mjs BUNDLE THREADS RUNS
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import path from 'node:path';

const require = createRequire(new URL('../../tests/interop/package.json', import.meta.url));
const ort = require('onnxruntime-node');
const [bundle, threads, runs] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const [BATCH, CLIPS, TEXT, FRAMES] = [32, 24, 72, 200];

const config = JSON.parse(readFileSync(path.join(bundle, 'config.json'), 'utf8'));
const text = config.text_config;
const mels = JSON.parse(readFileSync(path.join(bundle, 'preprocessor_config.json'), 'utf8')).feature_size;
const open = (name) => ort.InferenceSession.create(path.join(bundle, 'onnx', `${name}.onnx`), { intraOpNumThreads: threads, interOpNumThreads: 1 });
const [encoder, embed, decoder] = await Promise.all(['audio_encoder', 'embed_tokens', 'decoder_model_merged'].map(open));

const frames = Math.floor((FRAMES - 1) / 2) + 1;
const length = Math.ceil(frames / config.stack_factor) + 1 + TEXT;
const i64 = (values, dims) => new ort.Tensor('int64', BigInt64Array.from(values, BigInt), dims);
const mel = new ort.Tensor('float32', Float32Array.from({ length: CLIPS * mels * FRAMES }, () => Math.random() - 0.5), [CLIPS, mels, FRAMES]);
const ids = i64(Array.from({ length: BATCH * length }, (_, i) => (i * 7) % config.ignore_index), [BATCH, length]);
const feeds = {
  attention_mask: i64(new Array(BATCH * length).fill(1), [BATCH, length]),
  position_ids: i64(Array.from({ length: BATCH * length }, (_, i) => i % length), [BATCH, length]),
};
for (let i = 0; i < text.num_hidden_layers; ++i)
  for (const half of ['key', 'value'])
    feeds[`past_key_values.${i}.${half}`] = new ort.Tensor('float32', new Float32Array(0), [BATCH, text.num_key_value_heads, 0, text.head_dim]);

const forward = async () => {
  const { audio_features } = await encoder.run({ audio_values: mel });
  const { inputs_embeds } = await embed.run({ input_ids: ids });
  const rows = audio_features.dims[1];
  const width = text.hidden_size;
  for (let clip = 0; clip < CLIPS; ++clip)
    inputs_embeds.data.set(audio_features.data.subarray(clip * rows * width, (clip + 1) * rows * width), (clip * length + 3) * width);
  await decoder.run({ inputs_embeds, ...feeds }, ['logits']);
};

for (let i = 0; i < 2; ++i) await forward();
const seconds = [];
for (let i = 0; i < runs; ++i) {
  const start = process.hrtime.bigint();
  await forward();
  seconds.push(Number(process.hrtime.bigint() - start) / 1e9);
}
const version = require('onnxruntime-node/package.json').version;
console.log(JSON.stringify({ work: 'forward', peer: `ONNX Runtime ${version}`, threads, seconds }));
