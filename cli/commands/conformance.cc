#include "graph/conformance.h"

#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/commands/commands.h"
#include "cli/console.h"
#include "cli/session_flags.h"
#include "cli/work_bar.h"
#include "graph/operator_table.h"
#include "tensor/error.h"

namespace retune {

namespace {

int conformance(const Arguments& arguments, Console& console) {
  Session session(session_options(arguments));
  const ConformanceResult result = [&] {
    WorkBar bar(console, "tests");
    return run_conformance(arguments.path("FOLDER"), session, {}, bar.parts("tests"));
  }();
  if (arguments.on("markdown")) {
    console.out() << conformance_table(result);
  } else if (arguments.on("json")) {
    console.print({{"passed", result.passed},
                   {"failed", result.failed},
                   {"unsupported", result.unsupported},
                   {"unsupported_by_operator", result.unsupported_by_op},
                   {"failures", result.failures}});
  } else {
    for (const std::string& line : result.failures) console.out() << "failed: " << line << "\n";
    for (const auto& [op, tests] : result.unsupported_by_op)
      console.out() << "unsupported: " << op << ": " << tests << "\n";
    console.out() << fmt::format("{} passed, {} failed, {} unsupported\n", result.passed, result.failed,
                                 result.unsupported);
  }
  return result.failed == 0 ? 0 : static_cast<int>(ErrorCode::kProof);
}

}  // namespace

Command conformance_command() {
  return {
      .name = "conformance",
      .summary =
          "Runs tests in the layout of ONNX's backend suite (test_*/model.onnx with test_data_set_*/*.pb). Exit 4 if "
          "any of them fails.",
      .positionals = {{.name = "FOLDER", .meaning = "a folder of test_* folders"}},
      .flags = {{.name = "markdown",
                 .type = Flag::Type::kSwitch,
                 .meaning = "print the counts of every operator as the table of docs/operators.md"}},
      .example = "retune conformance onnx/backend/test/data/node\n\n...\n1034 passed, 0 failed, 251 unsupported",
      .run = conformance};
}

}  // namespace retune
