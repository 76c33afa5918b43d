// The units of a study. Cells share nothing but the base model: they can be done in any order, in any process, and done
// again with the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "eval/answer_record.h"
#include "facts/fact_set.h"
#include "recipes/recipe.h"
#include "tensor/content_hash.h"

namespace retune {

// One edit (single), all edits (batch), or one sequence (sequential): facts [begin, end) of the set.
struct Cell {
  std::int64_t number = 0;  // from 1
  std::size_t begin = 0;
  std::size_t end = 0;
};

// In order of their numbers.
std::vector<Cell> cells_of(const FactSet& facts, StudyMode mode);

// Where a cell's patches lie in the study's folder, in the order in which they are stacked: patch.h5 (batch), else
// edits/NNNN/patch.h5 with the number of the fact, from 1.
std::vector<std::filesystem::path> patch_paths(const Cell& cell, StudyMode mode);

// What a cell brought, apart from its patches.
struct CellResult {
  std::int64_t cell = 0;
  std::vector<ContentHash> patches;  // their ids, in the order of patch_paths
  std::vector<AnswerRecord> answers;
  // Numbers of each patch: its notes; "rounding_share": the largest share of a delta that the stored type loses
  // (ModelView::rounding_share); "relative_norm": of each delta ||delta|| / ||W|| in the Frobenius norm; "rank": of
  // each low-rank delta the columns of its factors.
  std::vector<std::map<std::string, std::vector<double>>> notes;
};

// As one line of JSON, and back (user error naming `place`).
std::string cell_text(const CellResult& result);
CellResult parse_cell(const std::string& text, const std::string& place);

}  // namespace retune
