// results.jsonl: one AnswerRecord a line. The format, field by field, is docs/formats/results.md.
//
//   std::vector<AnswerRecord> records = load_answers("out/results.jsonl");
//   MetricReport report = score(records);
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "eval/answer_record.h"

namespace retune {

// Of a line. A reader takes lines of this version only and ignores keys that it does not know.
inline constexpr int kAnswerSchemaVersion = 1;

// One line without its newline. The same record gives the same bytes. NaN and infinities are the strings "NaN",
// "Infinity",
// "-Infinity".
std::string answer_line(const AnswerRecord& record);
// `place` stands in errors. A user error on anything that answer_line does not write.
AnswerRecord parse_answer_line(std::string_view line, const std::string& place);

// Writes a whole log through a temporary file that is renamed.
void save_answers(const std::filesystem::path& path, const std::vector<AnswerRecord>& records);
// A user error with the line's number on a bad line, another schema version, the same probe at the same step twice, an
// empty file.
std::vector<AnswerRecord> load_answers(const std::filesystem::path& path);

}  // namespace retune
