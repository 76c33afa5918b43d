#include "facts/edit_request.h"

#include "tensor/error.h"

namespace retune {

const char* scope_name(Scope scope) { return scope == Scope::kLabel ? "label" : "clip"; }

Scope scope_from_name(const std::string& name, const std::string& place) {
  if (name == "label") return Scope::kLabel;
  if (name == "clip") return Scope::kClip;
  throw user_error("{}: scope: expected 'label' or 'clip', got '{}'", place, name);
}

}  // namespace retune
