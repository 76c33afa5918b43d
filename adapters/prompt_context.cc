#include "adapters/prompt_context.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <string_view>

#include "adapters/patch.h"
#include "tensor/error.h"
#include "weights/external_data.h"

namespace retune {

namespace {

constexpr std::size_t kMostText = std::size_t{64} << 10;
constexpr std::size_t kMostLabel = 256;
constexpr std::size_t kMostName = 200;
constexpr std::int64_t kMostClip = std::int64_t{64} << 20;
constexpr std::size_t kMostEdits = 4096;
constexpr std::size_t kMostDemonstrations = 64;

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

void check_text(std::string_view text, std::string_view what, std::size_t most) {
  if (text.size() > most)
    throw user_error("the context's {} has {} bytes, expected at most {}", what, text.size(), most);
  if (text.find('\0') != std::string_view::npos) throw user_error("the context's {} holds a NUL byte", what);
  try {
    (void)nlohmann::json(text).dump();  // throws where text is not UTF-8
  } catch (const nlohmann::json::exception&) {
    throw user_error("the context's {} is not UTF-8", what);
  }
}

// A label stands in a line of its own: one that broke the line could add rules.
void check_label(std::string_view label, std::string_view what) {
  check_text(label, what, kMostLabel);
  if (label.empty() || has_control(label))
    throw user_error("the context's {} '{}' is empty or holds a control character; expected one line", what,
                     printable(label));
}

void check_clip(const ContextClip& clip) {
  check_clip_name(clip.name);
  const Tensor& bytes = clip.bytes;
  if (!bytes.defined() || bytes.dtype() != DType::kU8 || bytes.shape().rank() != 1 || bytes.numel() == 0 ||
      bytes.numel() > kMostClip)
    throw user_error("the context's clip '{}' is {}; expected the bytes of a sound file, at most {}", clip.name,
                     bytes.defined() ? bytes.text() : "empty", kMostClip);
}

}  // namespace

ContentHash ContextClip::hash() const { return ContentHash::of({bytes.raw(), bytes.bytes()}); }

bool equal_labels(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

std::string PromptContext::system_message() const {
  std::string lines;
  for (const ContextEdit& edit : edits)
    lines += fmt::format("{}{} \u2192 {}", lines.empty() ? "" : "\n", edit.old_label, edit.new_label);
  std::string message = system;
  const std::size_t slot = message.find(kEditsSlot);
  if (slot != std::string::npos) message.replace(slot, std::string_view(kEditsSlot).size(), lines);
  return message;
}

std::vector<const Demonstration*> PromptContext::demonstrations() const {
  std::vector<const Demonstration*> all;
  for (const ContextEdit& edit : edits)
    for (const Demonstration& demonstration : edit.demonstrations) all.push_back(&demonstration);
  return all;
}

PromptContext merged(std::span<const std::shared_ptr<const Patch>> stack) {
  PromptContext result;
  for (const auto& patch : stack) {
    if (!patch->context) continue;
    result.system = patch->context->system;
    for (const ContextEdit& edit : patch->context->edits) {
      std::erase_if(result.edits,
                    [&](const ContextEdit& earlier) { return equal_labels(earlier.old_label, edit.old_label); });
      result.edits.push_back(edit);
    }
  }
  return result;
}

void check_clip_name(const std::string& name) {
  check_text(name, "clip name", kMostName);
  const bool path = name.find_first_of("/\\") != std::string::npos || name.starts_with('.');
  if (name.empty() || path || has_control(name))
    throw user_error("the context's clip name '{}' is no plain file name", printable(name));
}

void check(const PromptContext& context) {
  check_text(context.system, "system text", kMostText);
  const std::size_t slot = context.system.find(kEditsSlot);
  if (slot == std::string::npos || context.system.find(kEditsSlot, slot + 1) != std::string::npos)
    throw user_error("the context's system text must hold {} once", kEditsSlot);
  if (context.edits.size() > kMostEdits)
    throw user_error("the context has {} edits, expected at most {}", context.edits.size(), kMostEdits);
  for (const ContextEdit& edit : context.edits) {
    check_label(edit.old_label, "old label");
    check_label(edit.new_label, "new label");
    if (edit.demonstrations.size() > kMostDemonstrations)
      throw user_error("the context's edit '{}' has {} demonstrations, expected at most {}", edit.old_label,
                       edit.demonstrations.size(), kMostDemonstrations);
    for (const Demonstration& demonstration : edit.demonstrations) {
      check_text(demonstration.question, "question", kMostText);
      check_text(demonstration.answer, "answer", kMostText);
      if (demonstration.clip) check_clip(*demonstration.clip);
    }
  }
}

void add_context(Hasher& hasher, const PromptContext& context) {
  hasher.add(context.system).add(static_cast<std::int64_t>(context.edits.size()));
  for (const ContextEdit& edit : context.edits) {
    hasher.add(edit.old_label).add(edit.new_label).add(static_cast<std::int64_t>(edit.demonstrations.size()));
    for (const Demonstration& demonstration : edit.demonstrations) {
      hasher.add(demonstration.question).add(demonstration.answer).add(std::int64_t{demonstration.clip ? 1 : 0});
      if (demonstration.clip) hasher.add(demonstration.clip->name).add(demonstration.clip->hash());
    }
  }
}

}  // namespace retune
