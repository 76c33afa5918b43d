// Asks a bundle in the Ultravox folder layout with transformers.js, as a user's own program would.
//
//   node transformers_bundle.mjs BUNDLE --prompt FILE [--audio FILE] [--max_new_tokens N] [--logits OUT.json]
//
// --prompt: the raw prompt, UTF-8, with the bundle's audio placeholder once where the sound goes.
// --audio: mono 16 kHz samples, little-endian f32, no header.
// --logits: also writes the logits of every prompt position, f32 [1, P, V], as tensor 'logits' (see tensor_files.mjs).
//
// Prints one line of JSON: {"prompt_ids": [...], "ids": [...], "text": "..."}; ids are what greedy decoding generated,
// the end-of-sequence token included if it came. Nothing is fetched: a missing file is an error.
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { UltravoxModel, UltravoxProcessor, env } from '@huggingface/transformers';
import { write_tensors } from './tensor_files.mjs';

env.allowRemoteModels = false;
env.allowLocalModels = true;
env.useFSCache = false;

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    prompt: { type: 'string' },
    audio: { type: 'string' },
    max_new_tokens: { type: 'string', default: '16' },
    logits: { type: 'string' },
  },
});
if (positionals.length !== 1 || flags.prompt === undefined) {
  console.error('usage: node transformers_bundle.mjs BUNDLE --prompt FILE [--audio FILE] [--max_new_tokens N] [--logits OUT.json]');
  process.exit(2);
}

// Absolute, so that it cannot be taken for the name of a repository.
const bundle = resolve(positionals[0]);
const options = { dtype: 'fp32', device: 'cpu', local_files_only: true, session_options: { intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3 } };
const processor = await UltravoxProcessor.from_pretrained(bundle, options);
const model = await UltravoxModel.from_pretrained(bundle, options);

const prompt = await readFile(flags.prompt, 'utf8');
let audio = null;
if (flags.audio !== undefined) {
  const bytes = await readFile(flags.audio);
  audio = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}
const inputs = await processor(prompt, audio);
// What the processor adds for its own bookkeeping is not an input of the model.
delete inputs.audio_token_len;

if (flags.logits !== undefined) {
  const { logits } = await model(inputs);
  await write_tensors(flags.logits, { logits });
}
const sequences = await model.generate({ ...inputs, max_new_tokens: Number(flags.max_new_tokens), do_sample: false });

const prompt_ids = Array.from(inputs.input_ids.data, Number);
const ids = Array.from(sequences.data, Number).slice(prompt_ids.length);
const text = processor.tokenizer.decode(ids, { skip_special_tokens: true });
console.log(JSON.stringify({ prompt_ids, ids, text }));
await model.dispose();
