// What an object of a recipe may hold, as data: its settings and the objects within it. Checking, defaults, the JSON
// schema and the manual's tables are all made from the same Form, so they cannot disagree.
//
//   const Form form{"decoding", "how answers are made", {{"max_new_tokens", Setting::Type::kInteger, 256, 1, 4096}},
//   {}}; Settings resolved = resolve(form, "my.json", given);      // every key, in declared order
#pragma once

#include <string>
#include <vector>

#include "editors/settings.h"

namespace retune {

struct Form {
  std::string key;      // under which it stands in the object around it; empty for the outermost
  std::string meaning;  // a sentence
  // A setting whose fallback is null is optional: where it is not given, the resolved object does not have it.
  std::vector<Setting> settings;
  std::vector<Form> parts;  // objects within; may be left out where none of their settings is required
};

// Every setting as given or as its default, then the parts, in declared order. User errors, one line that begins with
// `place` and names the key: one that there is none of (with the nearest that there is), another type, out of range,
// not one of the choices. `place` names the file, and the path within it ("my.json: decoding").
Settings resolve(const Form& form, const std::string& place, const Settings& given);

// Only that every key of `given` is one of the form's; an unknown key is an error as above.
void check_keys(const Form& form, const std::string& place, const Settings& given);

// JSON Schema (draft 2020-12) of the object: types, ranges, choices, defaults, meanings; no other keys are allowed.
Settings json_schema(const Form& form);

}  // namespace retune
