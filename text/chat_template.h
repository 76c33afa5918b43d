// How a bundle lays out a conversation as text: which marks stand around a turn, where a clip goes, and what ends an
// answer.
//
//   ChatTemplate chat = ChatTemplate::find(bundle_folder);
//   std::string prompt = chat.render({Turn::user({ContentPart::clip(), ContentPart::of("\nWhat animal is it?")})});
//
// There is no Jinja engine here. A `chat_template` is recognised as one of the shapes below (by its hash, else by the
// marks in it, and `origin()` says which), because a template that is nearly right makes every measurement slightly
// wrong; what is not recognised is a user error that tells how to write the layout down as data (ChatLayout).
#pragma once

#include <filesystem>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace retune {

struct ContentPart {
  enum class Kind { kText, kClip };
  Kind kind = Kind::kText;
  std::string text;  // empty for a clip

  static ContentPart of(std::string text) { return {Kind::kText, std::move(text)}; }
  static ContentPart clip() { return {Kind::kClip, {}}; }
};

struct Turn {
  std::string role;  // "system", "user" or "assistant"
  std::vector<ContentPart> content;

  static Turn system(std::string text) { return {"system", {ContentPart::of(std::move(text))}}; }
  static Turn user(std::vector<ContentPart> content) { return {"user", std::move(content)}; }
  static Turn user(std::string text) { return {"user", {ContentPart::of(std::move(text))}}; }
  static Turn assistant(std::string text) { return {"assistant", {ContentPart::of(std::move(text))}}; }
};

// A conversation's layout as data. It is also what a user writes by hand, as the JSON object `retune_chat_template` in
// the bundle's processor_config.json or in a recipe, with these names:
//
//   {"system": "<|system|>{system}<|end|>", "user": "<|user|>{user}<|end|>", "assistant":
//   "<|assistant|>{assistant}<|end|>",
//    "generation": "<|assistant|>", "audio": "<|audio_{n}|>", "end_of_turn": ["<|end|>"]}
//
// Slots: {system}, {user}, {assistant} the turn's content; {audio} in `user` the turn's clips, gathered there instead
// of standing where they are in the content; {n} in `audio` the clip's number through the conversation, from 1; {date}
// in `system`.
struct ChatLayout {
  std::string begin;                          // once, first
  std::string system = "{system}";            // must hold {system}
  std::string user = "{user}";                // must hold {user}
  std::string assistant = "{assistant}";      // must hold {assistant}
  std::string generation;                     // last, where an answer is asked for
  std::string audio;                          // one clip; empty: the template has no place for sound
  std::optional<std::string> default_system;  // the system turn where the conversation has none; absent: no such turn
  std::string date = "26 Jul 2024";           // pinned, so that a prompt is the same tomorrow
  bool trim = false;                          // white space at the ends of each content is removed
  std::vector<std::string> end_of_turn;       // tokens that end an answer
};

struct RenderOptions {
  bool add_generation = true;            // end with the opening of the assistant's turn
  std::optional<std::string> date = {};  // in place of the layout's
};

class ChatTemplate {
 public:
  // Looks in the folder for `retune_chat_template` in processor_config.json, then chat_template.jinja,
  // chat_template.json, then `chat_template` in tokenizer_config.json. The clip's text is `audio_placeholder` (else
  // `audio_token`) of processor_config.json unless the layout has its own. User error if there is none, or if it is not
  // recognised.
  static ChatTemplate find(const std::filesystem::path& bundle_folder);
  // Recognises a Jinja template: Llama-3, Llama-3.1/3.2 (system block with dates), ChatML with or without a default
  // system turn, Qwen2-Audio. `bos_token` stands in for the template's variable; `audio` is the text of one clip for
  // shapes that have none.
  static ChatTemplate from_jinja(std::string_view jinja, std::string_view bos_token, std::string_view audio,
                                 std::string_view name_for_errors);
  // A JSON object with the fields of ChatLayout; an unknown field is a user error that names it.
  static ChatTemplate from_json(std::string_view json, std::string_view name_for_errors);
  // User error if a layout lacks a slot.
  static ChatTemplate of(ChatLayout layout, std::string origin);

  // The conversation as text, each clip as layout().audio with its number; encode it without add_special. A system turn
  // may only stand first. User error for another role, a clip in a turn that is not the user's, or a clip where the
  // layout has no place.
  std::string render(std::span<const Turn> turns, const RenderOptions& options = {}) const;
  std::string render(std::initializer_list<Turn> turns, const RenderOptions& options = {}) const {
    return render(std::span<const Turn>(turns.begin(), turns.size()), options);
  }

  const ChatLayout& layout() const { return layout_; }
  const std::vector<std::string>& end_of_turn() const { return layout_.end_of_turn; }
  // Where it comes from, e.g. "tokenizer_config.json: ChatML, known by its hash".
  const std::string& origin() const { return origin_; }

 private:
  ChatTemplate(ChatLayout layout, std::string origin) : layout_(std::move(layout)), origin_(std::move(origin)) {}

  ChatLayout layout_;
  std::string origin_;
};

}  // namespace retune
