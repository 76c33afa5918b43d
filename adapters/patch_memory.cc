#include "adapters/patch_memory.h"

#include <fmt/format.h>

#include <memory>

namespace retune {

namespace {

constexpr const char* kPart = "of:";  // "of:000003:NAME": of the third of several patches

// Whether a remembered tensor's own name, without the part that remember_stack() gave it, is `name`.
bool is_named(const std::string& stored, const std::string& name) {
  if (stored == name) return true;
  return stored.starts_with(kPart) && stored.ends_with(":" + name) &&
         stored.find(':', std::char_traits<char>::length(kPart)) + 1 + name.size() == stored.size();
}

}  // namespace

std::vector<Tensor> remembered(const ModelView& view, const std::string& name) {
  std::vector<Tensor> found;
  for (const std::shared_ptr<const Patch>& patch : view.patches())
    for (const auto& [stored, tensor] : patch->memory)  // in the order of the parts: they are padded with zeros
      if (is_named(stored, name)) found.push_back(tensor);
  return found;
}

void remember_stack(Patch& patch, const ModelView& stack, std::size_t beneath) {
  std::size_t part = 0;
  for (std::size_t i = beneath; i < stack.patches().size(); ++i)
    for (const auto& [name, tensor] : stack.patches()[i]->memory) {
      const std::string own = name.starts_with(kPart) ? name.substr(name.find(':', 3) + 1) : name;
      patch.memory[fmt::format("{}{:06}:{}", kPart, ++part, own)] = tensor;
    }
}

}  // namespace retune
