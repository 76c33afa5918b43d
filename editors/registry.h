// The editing methods by their word. An explicit table: a method is here or it does not exist.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "editors/editor.h"
#include "editors/settings.h"

namespace retune {

struct EditingMethod {
  EditorInfo info;
  std::vector<Setting> settings;
  std::unique_ptr<const Editor> (*make)(const EditorInfo& info, Settings resolved) = nullptr;
};

// In the order of methods.md.
const std::vector<EditingMethod>& editing_methods();
// A user error that names the nearest method.
const EditingMethod& editing_method(const std::string& word);
// With settings as a recipe gives them; errors as resolve_settings.
std::unique_ptr<const Editor> make_editor(const std::string& word, const Settings& given);

}  // namespace retune
