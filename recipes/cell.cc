#include "recipes/cell.h"

#include <cmath>
#include <limits>

#include "eval/answer_log.h"
#include "facts/json_text.h"
#include "tensor/error.h"

namespace retune {

namespace {

// An entry holds every answer of a cell; a batch of thousands of edits is one.
constexpr JsonLimits kLimits{.max_bytes = std::size_t{8} << 30, .max_depth = 16};

double number_of(const nlohmann::json& value) {
  return value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN();  // JSON writes NaN as null
}

}  // namespace

std::vector<Cell> cells_of(const FactSet& facts, StudyMode mode) {
  std::vector<Cell> cells;
  const auto add = [&](std::size_t begin, std::size_t end) {
    if (begin < end) cells.push_back({static_cast<std::int64_t>(cells.size()) + 1, begin, end});
  };
  switch (mode) {
    case StudyMode::kSingle:
      for (std::size_t i = 0; i < facts.facts().size(); ++i) add(i, i + 1);
      break;
    case StudyMode::kBatch:
      add(0, facts.facts().size());
      break;
    case StudyMode::kSequential:
      for (const Sequence& sequence : facts.sequences()) add(sequence.begin, sequence.end);
      break;
  }
  return cells;
}

std::filesystem::path patch_path(const Cell& cell, StudyMode mode, std::size_t cells) {
  if (mode != StudyMode::kSingle && cells == 1) return "patch.h5";
  return std::filesystem::path(mode == StudyMode::kSingle ? "edits" : "sequences") /
         fmt::format("{:04d}", cell.number) / "patch.h5";
}

std::string cell_text(const CellResult& result) {
  const Settings head = {{"cell", result.cell}, {"patch", result.patch.hex()}, {"notes", result.notes}};
  std::string text = json_bytes(head);
  text.pop_back();
  text += ",\"answers\":[";
  for (std::size_t i = 0; i < result.answers.size(); ++i) {
    if (i > 0) text += ',';
    text += answer_line(result.answers[i]);
  }
  return text + "]}";
}

CellResult parse_cell(const std::string& text, const std::string& place) {
  const nlohmann::json json = parse_json(text, place, kLimits);
  const JsonObject object(json, place);
  CellResult result;
  const auto cell = object.optional_integer("cell");
  if (!cell) throw object.error("cell", "expected an integer");
  result.cell = *cell;
  result.patch = ContentHash::from_hex(object.text("patch"));
  const nlohmann::json* notes = object.find("notes");
  const nlohmann::json* answers = object.find("answers");
  if (!notes || !notes->is_array() || !answers || !answers->is_array())
    throw object.error("notes", "expected lists of notes and answers");
  for (const nlohmann::json& edit : *notes) {
    if (!edit.is_object()) throw object.error("notes", "expected objects");
    auto& numbers = result.notes.emplace_back();
    for (const auto& [key, values] : edit.items()) {
      if (!values.is_array()) throw object.error("notes", "expected lists of numbers");
      for (const nlohmann::json& value : values) numbers[key].push_back(number_of(value));
    }
  }
  for (const nlohmann::json& answer : *answers) result.answers.push_back(parse_answer_line(answer.dump(), place));
  return result;
}

}  // namespace retune
