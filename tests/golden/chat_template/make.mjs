// Golden prompts, rendered by Hugging Face's Jinja engine.
//
//   npm install --ignore-scripts @huggingface/jinja@0.5.11     (in a folder of its own, with a copy of this file)
//   node make.mjs PATH/TO/tests/golden/chat_template
//
// Writes cases.json: templates in the shapes that Retune recognises (written for this test, with the marks of the real ones), each
// with conversations and the prompt that they become. A clip is {"type": "audio"}; templates that know text only get it as "<|audio|>".

import fs from "node:fs";
import path from "node:path";
import { Template } from "@huggingface/jinja";

const header = "'<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'";
const templates = {
  chatml: "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
  chatml_default_system: "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}{{ '<|im_start|>system\\nYou answer in one word.<|im_end|>\\n' }}{% endif %}{{ '<|im_start|>' + message.role + '\\n' + message.content | trim + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
  qwen2_audio: "{% set audio_count = namespace(value=0) %}{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}{% if part['type'] == 'audio' %}{% set audio_count.value = audio_count.value + 1 %}Audio {{ audio_count.value }}: <|audio_bos|><|AUDIO|><|audio_eos|>\n{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
  llama3: `{{ bos_token }}{% for message in messages %}{{ ${header} + message['content'] | trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}`,
  llama31: `{{- bos_token }}\n{%- if not date_string is defined %}\n    {%- set date_string = "4 Jul 2025" %}\n{%- endif %}\n{%- if messages[0]['role'] == 'system' %}\n    {%- set system = messages[0]['content'] | trim %}\n    {%- set messages = messages[1:] %}\n{%- else %}\n    {%- set system = "" %}\n{%- endif %}\n{{- "<|start_header_id|>system<|end_header_id|>\\n\\nCutting Knowledge Date: December 2023\\nToday Date: " + date_string + "\\n\\n" + system + "<|eot_id|>" }}\n{%- for message in messages %}\n    {{- ${header} + message['content'] | trim + '<|eot_id|>' }}\n{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}\n{%- endif %}\n`,
};

const clip = { type: "audio" };
const text = (value) => ({ type: "text", text: value });
const conversations = [
  { messages: [{ role: "user", content: [clip, text("\nWhat animal is it?")] }], add_generation_prompt: true },
  { messages: [{ role: "system", content: [text("Be brief.")] }, { role: "user", content: [text("Listen: "), clip, text(" Who speaks? ")] }],
    add_generation_prompt: true },
  { messages: [{ role: "user", content: [clip, text("One")] }, { role: "assistant", content: [text("A cat.")] },
      { role: "user", content: [clip, clip, text("Two, three {user} {{ x }}")] }], add_generation_prompt: true },
  { messages: [{ role: "user", content: [text("  \n 2 + 2?\n")] }, { role: "assistant", content: [text("4")] }], add_generation_prompt: false },
  // What an in-context method puts before a question (tests/in_context_test.cc).
  { messages: [{ role: "system", content: [text("Edits:\ndog → cat\npig → cow\nObey.")] },
      { role: "user", content: [clip, text("\nWhich?")] }, { role: "assistant", content: [text("cat")] },
      { role: "user", content: [text("2 + 2?")] }, { role: "assistant", content: [text("4")] },
      { role: "user", content: [clip, text("\nAnd this?")] }], add_generation_prompt: true },
];

const flat = (parts) => parts.map((part) => (part.type === "audio" ? "<|audio|>" : part.text)).join("");
const cases = Object.entries(templates).map(([name, jinja]) => ({
  name, jinja,
  prompts: conversations.map(({ messages, add_generation_prompt }) => new Template(jinja).render({
    messages: name === "qwen2_audio" ? messages : messages.map(({ role, content }) => ({ role, content: flat(content) })),
    add_generation_prompt, bos_token: "<|begin_of_text|>",
  })),
}));
fs.writeFileSync(path.join(process.argv[2], "cases.json"), JSON.stringify({ conversations, cases }, null, 1) + "\n");
