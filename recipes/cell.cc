#include "recipes/cell.h"

#include <cmath>
#include <limits>

#include "eval/answer_log.h"
#include "facts/json_text.h"
#include "recipes/study_folder.h"
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

std::vector<std::filesystem::path> patch_paths(const Cell& cell, StudyMode mode) {
  if (mode == StudyMode::kBatch) return {kPatchFile};
  std::vector<std::filesystem::path> paths;
  for (std::size_t i = cell.begin; i < cell.end; ++i)
    paths.push_back(std::filesystem::path(kEditsFolder) / fmt::format("{:04d}", i + 1) / kPatchFile);
  return paths;
}

std::string cell_text(const CellResult& result) {
  Settings patches = Settings::array();
  for (const ContentHash& patch : result.patches) patches.push_back(patch.hex());
  const Settings head = {{"cell", result.cell}, {"patches", std::move(patches)}, {"notes", result.notes}};
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
  for (const std::string& patch : object.text_list("patches")) result.patches.push_back(ContentHash::from_hex(patch));
  const nlohmann::json* notes = object.find("notes");
  const nlohmann::json* answers = object.find("answers");
  if (!notes || !notes->is_array() || !answers || !answers->is_array())
    throw object.error("notes", "expected lists of notes and answers");
  for (const nlohmann::json& edit : *notes) {
    if (!edit.is_object()) throw object.error("notes", "expected objects");
    auto& numbers = result.notes.emplace_back();
    for (const auto& [key, values] : edit.items()) {
      if (!values.is_array()) throw object.error("notes", "expected lists of numbers");
      std::vector<double>& list = numbers[key];  // there even if it is empty
      for (const nlohmann::json& value : values) list.push_back(number_of(value));
    }
  }
  for (const nlohmann::json& answer : *answers) result.answers.push_back(parse_answer_line(answer.dump(), place));
  return result;
}

}  // namespace retune
