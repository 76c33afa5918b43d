// Rows of text in aligned columns, for terminals and logs.
#pragma once

#include <string>
#include <vector>

namespace retune {

// The first row is the head. The first column stands left, the others right; columns are two blanks apart; every line
// ends with a newline and without blanks before it. Widths count code points. Short rows are filled with empty cells.
std::string text_table(const std::vector<std::vector<std::string>>& rows);

// 0.934 as "93.4"; NaN as "-".
std::string percent(double share);

}  // namespace retune
