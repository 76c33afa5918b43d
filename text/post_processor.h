// The `post_processor` of a tokenizer.json: the special tokens that go around a text.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace retune {

struct SpecialFrame {
  std::vector<std::int64_t> before;
  std::vector<std::int64_t> after;
};

// TemplateProcessing (its `single` form), BertProcessing, RobertaProcessing, ByteLevel (which adds nothing), Sequence;
// null adds nothing. User error naming `where` and the type for any other, or for a template without exactly one place
// for the text.
SpecialFrame special_frame_from_json(const nlohmann::json& json, const std::string& where);

}  // namespace retune
