#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/commands/commands.h"
#include "cli/console.h"
#include "graph/operator_table.h"

namespace retune {

namespace {

int operators(const Arguments& arguments, Console& console) {
  if (arguments.on("markdown")) {
    console.out() << operator_table();
    return 0;
  }
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const OperatorRow& row : operator_rows()) {
    if (arguments.on("json"))
      rows.push_back({{"domain", row.domain}, {"name", row.name}, {"since", row.since}, {"gradient", row.gradient}});
    else
      console.out() << fmt::format("{} {} {}: gradient {}\n", row.domain, row.name, row.since, row.gradient);
  }
  if (arguments.on("json")) console.print(rows);
  return 0;
}

}  // namespace

Command operators_command() {
  return {
      .name = "operators",
      .summary =
          "Lists the operators that a model may use, the first version of each that is read, and whether it "
          "has a gradient.",
      .flags = {{.name = "markdown", .type = Flag::Type::kSwitch, .meaning = "print the tables of docs/operators.md"}},
      .example = "retune operators\n\n...\nai.onnx Relu 1: gradient yes",
      .run = operators};
}

}  // namespace retune
