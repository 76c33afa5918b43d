// A change that is told instead of learnt: what stands before every question that is put to the model (methods.md 2.4).
//
//   PromptContext context{.system = text, .edits = {{.old_label = "dog", .new_label = "cat"}}};
//   patch.context = context;                                     // moves no weight
//   PromptContext told = merged(bundle.view().patches());        // what the whole stack says
//   told.system_message();                                       // the text with "dog → cat" in its place
//
// It holds its clips, not their paths: a patch stands on its own, wherever it is read, and names no file of the
// reader's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/content_hash.h"
#include "tensor/tensor.h"

namespace retune {

struct Patch;

// Where the lines of the edits go in PromptContext::system.
inline constexpr const char* kEditsSlot = "{edits}";

// A sound file as it is.
struct ContextClip {
  std::string name;  // a plain file name with its extension, for people and for an export: "cow_1.flac"
  Tensor bytes;      // u8 [n]

  ContentHash hash() const;  // SHA-256 of the bytes
};

// One question and its answer, as turns of the user and of the assistant.
struct Demonstration {
  std::optional<ContextClip> clip;  // stands before the question, as clips do
  std::string question;
  std::string answer;
};

struct ContextEdit {
  std::string old_label, new_label;
  std::vector<Demonstration> demonstrations;
};

// Equal but for ASCII letter case: "Male" and "male" are one label.
bool equal_labels(std::string_view a, std::string_view b);

struct PromptContext {
  std::string system;              // the system message with kEditsSlot where the edits are listed
  std::vector<ContextEdit> edits;  // oldest first; none: nothing stands before a question

  // The system message with a line "OLD → NEW" an edit.
  std::string system_message() const;
  // Of all edits, in order; the oldest is the first to go where there is no room.
  std::vector<const Demonstration*> demonstrations() const;
};

// What a stack of patches (bottom first) says together: the edits of all, oldest first; one with the same old label
// (equal_labels) takes the place of the earlier, whose demonstrations would contradict it, and stands where
// it was made. The text is the topmost patch's. No edits if no patch has a context.
PromptContext merged(std::span<const std::shared_ptr<const Patch>> stack);

// User error if a part is unsound: a text that is no UTF-8, holds NUL or is too long (64 KiB; a label 256 bytes in one
// line), a system text without exactly one kEditsSlot, a clip without bytes, of more than 64 MiB, or whose name is no
// plain file name, more than 4,096 edits or 64 demonstrations an edit.
void check(const PromptContext& context);

// User error unless it is a plain file name with nothing of a path in it, of at most 200 bytes.
void check_clip_name(const std::string& name);

// Adds all of it: part of a patch's id.
void add_context(Hasher& hasher, const PromptContext& context);

}  // namespace retune
