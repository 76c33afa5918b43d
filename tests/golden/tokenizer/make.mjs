// Golden token ids, by Hugging Face's own JavaScript tokenizers.
//
//   npm install --ignore-scripts @huggingface/tokenizers@0.2.0     (in a folder of its own, with a copy of this file)
//   node make.mjs PATH/TO/tests/golden/tokenizer
//
// Reads corpus.txt, writes one tokenizer.json per family (NAME.json) and cases.json: for each family and text the ids, and the text
// that they decode to. The vocabularies are learnt by the naive trainer below, which counts every pair anew for each merge: it
// shares nothing with text/bpe_trainer.cc, whose result has to be the same.

import fs from "node:fs";
import path from "node:path";
import { Tokenizer } from "@huggingface/tokenizers";

const folder = process.argv[2];
const corpus = fs.readFileSync(path.join(folder, "corpus.txt"), "utf8").split("\n").filter((line) => line !== "");

const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const modern = (digits) =>
  `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
const QWEN2 = modern("");
const LLAMA3 = modern("{1,3}");

// Bytes as printable characters, in the order of the characters.
const printable = (b) => (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
const symbolOf = [];
for (let b = 0, next = 256; b < 256; ++b) symbolOf[b] = String.fromCodePoint(printable(b) ? b : next++);
const alphabet = [...symbolOf].sort((a, b) => a.codePointAt(0) - b.codePointAt(0));
const toSymbols = (text) => [...Buffer.from(text, "utf8")].map((b) => symbolOf[b]);

// Learns merges of `words` (lists of symbols) until `size` tokens; the most frequent pair first, then the smaller ids.
function train(words, base, size) {
  const vocab = new Map(base.map((token, id) => [token, id]));
  const merges = [];
  while (vocab.size < size) {
    const counts = new Map();
    for (const word of words) {
      for (let i = 1; i < word.length; ++i) {
        const key = word[i - 1] + " " + word[i];
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
    }
    const ids = (key) => key.split(" ").map((token) => vocab.get(token));
    let best = null;
    for (const [key, count] of counts) {
      if (count < 2) continue;
      const [a, b] = ids(key);
      const better = best === null || count > best.count ||
        (count === best.count && (a < best.a || (a === best.a && b < best.b)));
      if (better) best = { key, count, a, b };
    }
    if (best === null) break;
    const [left, right] = best.key.split(" ");
    merges.push(best.key);
    if (!vocab.has(left + right)) vocab.set(left + right, vocab.size);
    words = words.map((word) => {
      const merged = [];
      for (let i = 0; i < word.length; ++i) {
        if (word[i] === left && word[i + 1] === right) merged.push(left + right), ++i;
        else merged.push(word[i]);
      }
      return merged;
    });
  }
  return { vocab: Object.fromEntries(vocab), merges };
}

const bytePieces = (regex) => corpus.flatMap((line) => line.match(regex)).map(toSymbols);
// JavaScript has no (?i:...) everywhere: spelt out for training only.
const jsRegex = (pattern) => new RegExp(pattern.replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)", "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"), "gu");

const model = (trained, options = {}) => ({
  type: "BPE", dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null,
  fuse_unk: false, byte_fallback: false, ignore_merges: false, ...options, vocab: trained.vocab, merges: trained.merges,
});
const special = (first, contents, options = {}) => contents.map((content, i) => ({
  id: first + i, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true, ...options,
}));
const byteLevel = (use_regex) => ({ type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex });
const split = (pattern) => ({
  type: "Sequence",
  pretokenizers: [{ type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false }, byteLevel(false)],
});
const size = (trained) => Object.keys(trained.vocab).length;
const file = (parts) => ({ version: "1.0", truncation: null, padding: null, ...parts });

function gpt2() {
  const trained = train(bytePieces(jsRegex(GPT2)), alphabet, 400);
  return file({ added_tokens: special(size(trained), ["<|endoftext|>"]), normalizer: null, pre_tokenizer: byteLevel(true),
    post_processor: byteLevel(true), decoder: byteLevel(true), model: model(trained) });
}

function qwen2() {
  const trained = train(bytePieces(jsRegex(QWEN2)), alphabet, 500);
  const first = size(trained);
  const added = [...special(first, ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"]),
    ...special(first + 6, ["<tool>"], { special: false })];
  return file({ added_tokens: added, normalizer: { type: "NFC" }, pre_tokenizer: split(QWEN2), post_processor: byteLevel(false),
    decoder: byteLevel(false), model: model(trained) });
}

function llama3() {
  const trained = train(bytePieces(jsRegex(LLAMA3)), alphabet, 450);
  // Whole words without merges: reached only because ignore_merges looks a pre-token up before it merges.
  for (const word of ["Ġelephantine", "Ġmeowing"]) trained.vocab[word] = size(trained);
  const first = size(trained);
  const added = special(first, ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|audio|>"]);
  const template = { type: "TemplateProcessing",
    single: [{ SpecialToken: { id: "<|begin_of_text|>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
    special_tokens: { "<|begin_of_text|>": { id: "<|begin_of_text|>", ids: [first], tokens: ["<|begin_of_text|>"] } } };
  return file({ added_tokens: added, normalizer: null, pre_tokenizer: split(LLAMA3),
    post_processor: { type: "Sequence", processors: [byteLevel(false), template] }, decoder: byteLevel(false),
    model: model(trained, { ignore_merges: true }) });
}

// As LLaMA-1/2's: no pre-tokenizer, spaces as '▁', unknown characters as bytes.
function sentencepiece() {
  const bytes = Array.from({ length: 256 }, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, "0")}>`);
  const lines = corpus.map((line) => [..."▁" + line.replaceAll(" ", "▁")]);
  const characters = [...new Set(lines.flat())].filter((c) => c.codePointAt(0) < 0x250 || c === "▁").sort();
  const words = lines.map((line) => line.join("").match(/▁*[^▁]*/gu).filter((w) => w !== "").map((w) => [...w])).flat()
    .filter((word) => word.every((c) => characters.includes(c)));
  const base = ["<unk>", "<s>", "</s>", ...bytes, ...characters];
  const trained = train(words, base, base.length + 120);
  const template = { type: "TemplateProcessing",
    single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
    special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } } };
  const replace = (from, to) => ({ type: "Replace", pattern: { String: from }, content: to });
  return file({ added_tokens: special(0, ["<unk>", "<s>", "</s>"]),
    normalizer: { type: "Sequence", normalizers: [{ type: "Prepend", prepend: "▁" }, replace(" ", "▁")] },
    pre_tokenizer: null, post_processor: template,
    decoder: { type: "Sequence", decoders: [replace("▁", " "), { type: "ByteFallback" }, { type: "Fuse" },
      { type: "Strip", content: " ", start: 1, stop: 0 }] },
    model: model(trained, { unk_token: "<unk>", fuse_unk: true, byte_fallback: true }) });
}

const texts = [
  "What animal do you hear?", "The cat says meow, doesn't it?", "THEY'LL SAY IT'S A DOG; we're sure I'd've known.",
  "  two  spaces   three    four ", "tabs\tand\t\ttabs", "line\nbreaks\n\n\nand\r\nmore \n \n end\n", " ", "\n", "a", "",
  "1 12 123 1234 12345 3.14159 1,000,000 2024-07-26", "٣٤٥ ४५६ ½ ² Ⅷ",
  "Größe, naïve, façade, Ångström, ſ 'ſ 'S", "cafe\u0301 vs caf\u00e9; \u212b vs \u00c5; e\u0301\u0301; \u1112\u1161\u11ab",
  "日本語のテキスト。中文文本，没有空格。", "한국어 텍스트", "Привет, как дела?", "مرحبا بالعالم", "नमस्ते दुनिया", "ไทย",
  "emoji 😀😀 👩‍👩‍👧‍👦 🇩🇪 ❤️ 👍🏽", "\u00a0no-break\u2003em\u3000ideographic\u2028line",
  "zero\u200bwidth\u200djoin\ufeffbom", "$100 + 50% = ??? !!! ... --- ___ {}[]()<>/\\|~^`@#&*", "https://example.org/a?b=c&d=%20#x",
  "elephantine meowing elephants meow", "don't can't I'm you'll he'd we've they're it's 'tis", "x'Sy 'RE 'lL",
  "snake_case camelCase PascalCase kebab-case", "\u0000\u0001\u007f control", "\ue000private \uffff", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈",
  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "\n\n\n\n    def f(x):\n        return x ** 2\n",
];
const withSpecials = {
  gpt2: ["one<|endoftext|>two <|endoftext|> three", "<|endoftext|><|endoftext|>", "<|endoftext"],
  qwen2: ["<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nAudio 1: <|audio_bos|><|AUDIO|><|audio_eos|>\nWhat is it?<|im_end|>\n<|im_start|>assistant\n",
    "<|AUDIO|><|AUDIO|> <|AUDIO|>e\u0301", "use <tool> now<tool>"],
  llama3: ["<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n<|audio|>\nWhich language?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"],
  sentencepiece: ["<s> hello</s>", "a<s>b", "</s></s> x"],
};

const cases = {};
for (const [name, make] of Object.entries({ gpt2, qwen2, llama3, sentencepiece })) {
  const json = make();
  fs.writeFileSync(path.join(folder, `${name}.json`), JSON.stringify(json, null, 0) + "\n");
  const tokenizer = new Tokenizer(json, {});
  // The JavaScript library loses U+FEFF where it decodes byte tokens (TextDecoder takes it for a byte order mark); the Rust one keeps it.
  const fair = texts.filter((text) => name !== "sentencepiece" || !text.includes("\ufeff"));
  cases[name] = [...fair, ...withSpecials[name]].map((text) => {
    const { ids } = tokenizer.encode(text, { add_special_tokens: false });
    const framed = tokenizer.encode(text, { add_special_tokens: true }).ids;
    const decode = (skip_special_tokens) => ids.length === 0 ? "" :
      tokenizer.decode(ids, { skip_special_tokens, clean_up_tokenization_spaces: false });
    return { text, ids, before: framed.slice(0, framed.length - ids.length), decoded: decode(false), skipped: decode(true) };
  });
}
const lines = Object.entries(cases).map(([name, list]) =>
  `${JSON.stringify(name)}: [\n${list.map((entry) => JSON.stringify(entry)).join(",\n")}\n]`);
fs.writeFileSync(path.join(folder, "cases.json"), `{\n${lines.join(",\n")}\n}\n`);
