#include "graph/operator_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace retune {
namespace {

using testing::HasSubstr;

// What stands in docs/operators.md between the line that names `command` and the next end mark.
std::string section(const std::string& command) {
  std::ifstream file("docs/operators.md");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::string mark = "<!-- made by `" + command + "` -->\n\n";
  const std::size_t begin = text.find(mark);
  if (begin == std::string::npos) return {};
  const std::size_t from = begin + mark.size();
  return text.substr(from, text.find("\n<!-- end -->", from) - from);
}

TEST(OperatorTable, TheManualsIsWhatTheRegistrySays) {
  EXPECT_TRUE(section("retune operators --markdown") == operator_table())
      << "docs/operators.md is not what the registry says; run scripts/write_operator_tables.sh";
}

TEST(OperatorTable, SaysWhyThereIsNoGradient) {
  EXPECT_THAT(operator_table(), HasSubstr("| `ArgMax` | 1 | its output is an index |"));
  EXPECT_THAT(operator_table(), HasSubstr("| `Relu` | 1 | yes |"));
}

TEST(OperatorTable, TheManualsCountsAreThoseOfOnnxsTests) {
  const std::filesystem::path suite = "../shared/onnx-backend-tests/node";
  if (!std::filesystem::is_directory(suite)) GTEST_SKIP() << suite << " is not here";
  Session session({.threads = 2});
  EXPECT_TRUE(section("retune conformance FOLDER --markdown") == conformance_table(run_conformance(suite, session)))
      << "docs/operators.md does not hold today's counts; run scripts/write_operator_tables.sh " << suite;
}

}  // namespace
}  // namespace retune
