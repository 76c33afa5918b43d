#include "text/post_processor.h"

#include "tensor/error.h"
#include "text/json_fields.h"

namespace retune {

namespace {

// The ids of one {"SpecialToken": {"id": NAME}} of a template, as its `special_tokens` gives them.
std::vector<std::int64_t> template_ids(const Json& special_tokens, const std::string& name, const std::string& where) {
  const std::string entry = where + ": special token " + in_quotes(name);
  std::vector<std::int64_t> ids;
  for (const Json& id : require_field(require_field(special_tokens, name, entry), "ids", entry)) {
    ids.push_back(require_index(id, entry));
  }
  return ids;
}

SpecialFrame template_frame(const Json& json, const std::string& where) {
  const Json& single = require_field(json, "single", where);
  if (!single.is_array()) throw user_error("{}: 'single': expected an array, got {}", where, single.type_name());
  SpecialFrame frame;
  int texts = 0;
  for (const Json& piece : single) {
    if (const Json* special = optional_component(piece, "SpecialToken", where)) {
      const std::string name = require_string(*special, "id", where);
      std::vector<std::int64_t>& side = texts == 0 ? frame.before : frame.after;
      const auto ids = template_ids(require_field(json, "special_tokens", where), name, where);
      side.insert(side.end(), ids.begin(), ids.end());
    } else {
      require_field(piece, "Sequence", where);
      ++texts;
    }
  }
  if (texts != 1) throw user_error("{}: 'single': expected one place for the text, got {}", where, texts);
  return frame;
}

// {"cls": [NAME, ID], "sep": [NAME, ID]}
std::int64_t pair_id(const Json& json, std::string_view field, const std::string& where) {
  const Json& pair = require_field(json, field, where);
  if (!pair.is_array() || pair.size() != 2) throw user_error("{}: '{}': expected [token, id]", where, field);
  return require_index(pair[1], where);
}

}  // namespace

SpecialFrame special_frame_from_json(const nlohmann::json& json, const std::string& where) {
  if (json.is_null()) return {};
  const std::string type = require_string(json, "type", where);
  if (type == "ByteLevel") return {};
  if (type == "TemplateProcessing") return template_frame(json, where);
  if (type == "BertProcessing" || type == "RobertaProcessing") {
    return {{pair_id(json, "cls", where)}, {pair_id(json, "sep", where)}};
  }
  if (type == "Sequence") {
    SpecialFrame frame;
    for (const Json& step : require_field(json, "processors", where)) {
      const SpecialFrame outer = special_frame_from_json(step, where);
      frame.before.insert(frame.before.begin(), outer.before.begin(), outer.before.end());
      frame.after.insert(frame.after.end(), outer.after.begin(), outer.after.end());
    }
    return frame;
  }
  throw user_error("{}: type {} is not supported", where, in_quotes(type));
}

}  // namespace retune
