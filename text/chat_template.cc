#include "text/chat_template.h"

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

#include "tensor/content_hash.h"
#include "tensor/error.h"
#include "text/json_fields.h"
#include "text/utf8.h"

namespace retune {

namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t kMaxConfigBytes = 64u << 20;
constexpr std::string_view kWayOut =
    "write its layout as 'retune_chat_template' in the bundle's processor_config.json (docs/formats/chat-layout.md)";

// SHA-256 of templates known byte for byte; any other is recognised by the marks that it writes.
constexpr std::array<std::string_view, 5> kKnownTemplates{
    // ChatML's plain loop, newlines as characters and as escapes.
    "153280e3ff55d19da1398bdb3914ee2a51b80429bfaedde11d7d216c39db80f3",
    "fcf7a096fe99a48fd9ad2b250bf9237e96e8f48bffec1c7ea4d3f225176cd40e",
    // Qwen2-Audio's, as its processor had it over time.
    "e66675708ba669cd65994f484d99a44a3c9abad3892d987cf960c5ae0fab95b5",
    "a7889b08b4f614c01e0aadf6260f5883ddbea462f85e1d3ab6be3be8d284d256",
    "27d3d4c4d9935c5a2237ecd3d27e042758937a380bc550f7c7b77a6d9416aeda",
};

bool has(std::string_view text, std::string_view mark) { return text.find(mark) != std::string_view::npos; }

std::string_view trimmed(std::string_view text) {
  const auto is_text = [](std::string_view character) { return !is_white_space(utf8_at(character, 0).code); };
  const std::vector<std::string_view> characters = split_characters(text);
  const auto first = std::find_if(characters.begin(), characters.end(), is_text);
  const auto last = std::find_if(characters.rbegin(), std::make_reverse_iterator(first), is_text).base();
  if (first == last) return {};
  return {first->data(), static_cast<std::size_t>((last - 1)->data() + (last - 1)->size() - first->data())};
}

using Slots = std::vector<std::pair<std::string_view, std::string_view>>;

// `layout` with every {name} of `slots` replaced; what is put in is not searched again, other braces stay.
std::string fill(std::string_view layout, const Slots& slots) {
  std::string text;
  for (std::size_t at = 0; at < layout.size();) {
    const auto slot = std::find_if(slots.begin(), slots.end(), [&](const auto& entry) {
      const std::string_view rest = layout.substr(at);
      return rest.starts_with('{') && rest.substr(1).starts_with(entry.first) &&
             rest.substr(1 + entry.first.size()).starts_with('}');
    });
    if (slot == slots.end()) {
      text += layout[at++];
    } else {
      text += slot->second;
      at += slot->first.size() + 2;
    }
  }
  return text;
}

// What stands between `open` and `close` in the template's own text, if no code of the template does: "\n" there may be
// a newline or the two characters of a string literal.
std::optional<std::string> literal_between(std::string_view jinja, std::string_view open, std::string_view close) {
  for (std::size_t at = jinja.find(open); at != std::string_view::npos; at = jinja.find(open, at + 1)) {
    std::string_view rest = jinja.substr(at + open.size());
    if (rest.starts_with("\\n")) {
      rest.remove_prefix(2);
    } else if (rest.starts_with('\n')) {
      rest.remove_prefix(1);
    } else {
      continue;
    }
    const std::string_view text = rest.substr(0, rest.find(close));
    if (text.size() < rest.size() && text.find_first_of("'\"{}\\") == std::string_view::npos) return std::string(text);
  }
  return std::nullopt;
}

bool trims(std::string_view jinja) { return has(jinja, "| trim") || has(jinja, "|trim"); }

std::string llama_turn(std::string_view role, std::string_view content) {
  return fmt::format("<|start_header_id|>{}<|end_header_id|>\n\n{}<|eot_id|>", role, content);
}

// Llama-3; since 3.1 with a system block that states two dates.
std::optional<std::pair<std::string, ChatLayout>> recognise_llama(std::string_view jinja, std::string_view bos_token) {
  if (!has(jinja, "<|start_header_id|>") || !has(jinja, "<|end_header_id|>") || !has(jinja, "<|eot_id|>")) return {};
  ChatLayout layout;
  layout.begin = has(jinja, "bos_token") ? bos_token : has(jinja, "<|begin_of_text|>") ? "<|begin_of_text|>" : "";
  layout.system = llama_turn("system", "{system}");
  layout.user = llama_turn("user", "{user}");
  layout.assistant = llama_turn("assistant", "{assistant}");
  layout.generation = "<|start_header_id|>assistant<|end_header_id|>\n\n";
  layout.trim = trims(jinja);
  layout.end_of_turn = {"<|eot_id|>"};
  if (!has(jinja, "Today Date: ")) return std::pair("Llama-3", layout);
  constexpr std::string_view kCutoff = "Cutting Knowledge Date: December 2023";
  if (!has(jinja, kCutoff)) return {};
  layout.system = llama_turn("system", fmt::format("{}\nToday Date: {{date}}\n\n{{system}}", kCutoff));
  layout.default_system = "";
  constexpr std::string_view kDate = "date_string = \"";
  if (const std::size_t at = jinja.find(kDate); at != std::string_view::npos) {
    const std::string_view rest = jinja.substr(at + kDate.size());
    layout.date = rest.substr(0, rest.find('"'));
  }
  return std::pair("Llama-3.1", layout);
}

std::optional<std::pair<std::string, ChatLayout>> recognise_chatml(std::string_view jinja) {
  if (!has(jinja, "<|im_start|>") || !has(jinja, "<|im_end|>")) return {};
  // Templates of reasoning models rewrite earlier answers, Phi's separates the role by <|im_sep|>: other layouts.
  if (has(jinja, "think") || has(jinja, "reasoning") || has(jinja, "<|im_sep|>")) return {};
  ChatLayout layout;
  layout.system = "<|im_start|>system\n{system}<|im_end|>\n";
  layout.user = "<|im_start|>user\n{user}<|im_end|>\n";
  layout.assistant = "<|im_start|>assistant\n{assistant}<|im_end|>\n";
  layout.generation = "<|im_start|>assistant\n";
  layout.trim = trims(jinja);
  layout.end_of_turn = {"<|im_end|>"};
  layout.default_system = literal_between(jinja, "<|im_start|>system", "<|im_end|>");
  if (!has(jinja, "<|audio_bos|><|AUDIO|><|audio_eos|>")) return std::pair("ChatML", layout);
  if (!has(jinja, "Audio {{ audio_count.value }}: ")) return {};
  layout.audio = "Audio {n}: <|audio_bos|><|AUDIO|><|audio_eos|>\n";
  return std::pair("Qwen2-Audio", layout);
}

std::vector<std::string> token_list(const Json& json, std::string_view where) {
  const Json* list = optional_component(json, "end_of_turn", where);
  std::vector<std::string> tokens;
  if (list == nullptr) return tokens;
  if (!list->is_array())
    throw user_error("{}: 'end_of_turn': expected an array of tokens, got {}", where, list->type_name());
  for (const Json& token : *list) {
    if (!token.is_string()) throw user_error("{}: 'end_of_turn': expected texts, got {}", where, token.type_name());
    tokens.push_back(token.get<std::string>());
  }
  return tokens;
}

ChatLayout layout_from(const Json& json, std::string_view audio, std::string_view where) {
  if (!json.is_object()) throw user_error("{}: expected an object, got {}", where, json.type_name());
  constexpr std::array<std::string_view, 10> kFields{"begin", "system",         "user", "assistant", "generation",
                                                     "audio", "default_system", "date", "trim",      "end_of_turn"};
  for (const auto& [field, value] : json.items()) {
    if (std::find(kFields.begin(), kFields.end(), field) == kFields.end()) {
      throw user_error("{}: unknown field {}: expected one of {}", where, in_quotes(field), fmt::join(kFields, ", "));
    }
  }
  ChatLayout layout;
  layout.begin = string_or(json, "begin", layout.begin, where);
  layout.system = string_or(json, "system", layout.system, where);
  layout.user = string_or(json, "user", layout.user, where);
  layout.assistant = string_or(json, "assistant", layout.assistant, where);
  layout.generation = string_or(json, "generation", layout.generation, where);
  layout.audio = string_or(json, "audio", audio, where);
  layout.date = string_or(json, "date", layout.date, where);
  layout.trim = flag_or(json, "trim", layout.trim, where);
  layout.end_of_turn = token_list(json, where);
  if (optional_component(json, "default_system", where) != nullptr) {
    layout.default_system = require_string(json, "default_system", where);
  }
  return layout;
}

// The `chat_template` of a JSON file: text, or a list of {name, template} of which the one named "default" counts.
std::string jinja_from(const Json& value, const std::string& where) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_array()) {
    for (const Json& entry : value) {
      if (require_string(entry, "name", where) == "default") return require_string(entry, "template", where);
    }
  }
  throw user_error("{}: 'chat_template': expected text, or a list with a template named \"default\"", where);
}

// A token given as text or as {"content": text}.
std::string token_text(const Json& config, std::string_view field, std::string_view where) {
  const Json* value = optional_component(config, field, where);
  if (value == nullptr) return {};
  return value->is_object() ? require_string(*value, "content", where) : require_string(config, field, where);
}

Json read_if_there(const fs::path& path) {
  return fs::exists(path) ? read_json(path, kMaxConfigBytes) : Json::object();
}

}  // namespace

ChatTemplate ChatTemplate::find(const fs::path& folder) {
  const fs::path processor_path = folder / "processor_config.json";
  const Json processor = read_if_there(processor_path);
  std::string audio = string_or(processor, "audio_placeholder", "", processor_path.string());
  if (audio.empty()) audio = token_text(processor, "audio_token", processor_path.string());
  if (const Json* own = optional_component(processor, "retune_chat_template", processor_path.string())) {
    const std::string where = processor_path.string() + ": retune_chat_template";
    return of(layout_from(*own, audio, where), "processor_config.json: retune_chat_template");
  }

  const fs::path tokenizer_path = folder / "tokenizer_config.json";
  const Json tokenizer = read_if_there(tokenizer_path);
  const std::string bos_token = token_text(tokenizer, "bos_token", tokenizer_path.string());
  const fs::path jinja_path = folder / "chat_template.jinja";
  if (fs::exists(jinja_path)) {
    return from_jinja(read_file(jinja_path, kMaxConfigBytes), bos_token, audio, jinja_path.string());
  }
  const fs::path json_path = folder / "chat_template.json";
  for (const auto& [path, json] :
       {std::pair(json_path, read_if_there(json_path)), std::pair(tokenizer_path, tokenizer)}) {
    if (const Json* jinja = optional_component(json, "chat_template", path.string())) {
      return from_jinja(jinja_from(*jinja, path.string()), bos_token, audio, path.string());
    }
  }
  throw user_error("{}: no chat template: expected 'chat_template' in tokenizer_config.json or chat_template.jinja; {}",
                   folder.string(), kWayOut);
}

ChatTemplate ChatTemplate::from_jinja(std::string_view jinja, std::string_view bos_token, std::string_view audio,
                                      std::string_view name) {
  auto recognised = recognise_llama(jinja, bos_token);
  if (!recognised) recognised = recognise_chatml(jinja);
  if (!recognised) throw user_error("{}: the chat template is not one that is known; {}", name, kWayOut);
  auto& [shape, layout] = *recognised;
  if (layout.audio.empty()) layout.audio = audio;
  const std::string hash = ContentHash::of(jinja).hex();
  const bool known = std::find(kKnownTemplates.begin(), kKnownTemplates.end(), hash) != kKnownTemplates.end();
  const std::string file = fs::path(name).filename().string();
  return of(std::move(layout),
            fmt::format("{}: {}, {}", file, shape, known ? "known by its hash" : "recognised by its marks"));
}

ChatTemplate ChatTemplate::from_json(std::string_view json, std::string_view name) {
  return of(layout_from(parse_json(json, name), "", name), std::string(name));
}

ChatTemplate ChatTemplate::of(ChatLayout layout, std::string origin) {
  const auto require_slot = [&](std::string_view field, std::string_view text) {
    const std::string slot = fmt::format("{{{}}}", field);
    if (!has(text, slot))
      throw user_error("{}: chat layout: '{}' must hold {}, got {}", origin, field, slot, in_quotes(text));
  };
  require_slot("system", layout.system);
  require_slot("user", layout.user);
  require_slot("assistant", layout.assistant);
  return ChatTemplate(std::move(layout), std::move(origin));
}

namespace {

// The content of one turn: its text, and its clips if the layout gathers them.
struct RenderedContent {
  std::string text;
  std::string clips;
};

RenderedContent render_content(const Turn& turn, const ChatLayout& layout, int& clips_so_far,
                               const std::string& origin) {
  const bool gathered = has(layout.user, "{audio}");
  RenderedContent content;
  for (const ContentPart& part : turn.content) {
    if (part.kind == ContentPart::Kind::kText) {
      content.text += part.text;
      continue;
    }
    if (turn.role != "user")
      throw user_error("chat template: a clip in a turn of {}: expected it in a user's", in_quotes(turn.role));
    if (layout.audio.empty()) throw user_error("{}: the chat template has no place for sound; {}", origin, kWayOut);
    const std::string number = std::to_string(++clips_so_far);
    (gathered ? content.clips : content.text) += fill(layout.audio, {{"n", number}});
  }
  if (layout.trim) content.text = std::string(trimmed(content.text));
  return content;
}

}  // namespace

std::string ChatTemplate::render(std::span<const Turn> turns, const RenderOptions& options) const {
  const std::string date = options.date.value_or(layout_.date);
  const auto system_turn = [&](std::string_view text) {
    return fill(layout_.system, {{"system", text}, {"date", date}});
  };
  std::string prompt = layout_.begin;
  if (layout_.default_system && (turns.empty() || turns[0].role != "system"))
    prompt += system_turn(*layout_.default_system);
  int clips = 0;
  for (std::size_t i = 0; i < turns.size(); ++i) {
    const Turn& turn = turns[i];
    const RenderedContent content = render_content(turn, layout_, clips, origin_);
    if (turn.role == "user") {
      prompt += fill(layout_.user, {{"user", content.text}, {"audio", content.clips}});
    } else if (turn.role == "assistant") {
      prompt += fill(layout_.assistant, {{"assistant", content.text}});
    } else if (turn.role == "system" && i == 0) {
      prompt += system_turn(content.text);
    } else {
      throw user_error("chat template: turn {} has the role {}: expected user or assistant, or system first", i,
                       in_quotes(turn.role));
    }
  }
  if (options.add_generation) prompt += layout_.generation;
  return prompt;
}

}  // namespace retune
