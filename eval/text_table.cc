#include "eval/text_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "eval/answer_text.h"

namespace retune {

std::string text_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], code_points(row[c]).size());
  }
  std::string table;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t c = 0; c < widths.size(); ++c) {
      const std::string cell = c < row.size() ? row[c] : "";
      const std::string fill(widths[c] - code_points(cell).size(), ' ');
      if (c > 0) line.append(2, ' ');
      line.append(c > 0 ? fill : cell).append(c > 0 ? cell : fill);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    table.append(line).append(1, '\n');
  }
  return table;
}

std::string percent(double share) { return std::isnan(share) ? "-" : fmt::format("{:.1f}", 100 * share); }

}  // namespace retune
