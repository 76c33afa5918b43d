#include "graph/conformance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "graph/import.h"
#include "graph/op_coverage.h"
#include "graph/op_registry.h"
#include "tensor/error.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsSubsetOf;

const fs::path kGolden = "tests/golden/operators", kOnnxRuntime = "tests/golden/onnxruntime_operators";
const fs::path kSuite = "../shared/onnx-backend-tests/node";

class Workspace {
 public:
  Workspace() {
    std::string pattern = (fs::temp_directory_path() / "retune-conformance-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path = pattern;
  }
  ~Workspace() { fs::remove_all(path); }
  fs::path path;
};

std::string listed(const ConformanceResult& result) {
  std::string text;
  for (const std::string& line : result.failures) text += line + "\n";
  return text;
}

// Every test of a folder of golden data passes, and speaks for the operators of its model.
void expect_golden_results(const fs::path& folder, int at_least) {
  Session session({.threads = 2});
  const ConformanceResult result = run_conformance(folder, session);
  EXPECT_EQ(result.failed, 0) << listed(result);
  EXPECT_THAT(result.unsupported_by_op, IsEmpty());
  EXPECT_GE(result.passed, at_least);
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    if (fs::exists(entry.path() / "model.onnx"))
      note(import_onnx(OnnxModel::open(entry.path() / "model.onnx"), "model.onnx"), Checked::kForward);
}

// References computed by PyTorch and by ONNX Runtime; see the READMEs there.
TEST(Conformance, OperatorsGiveWhatPyTorchGives) { expect_golden_results(kGolden, 195); }
TEST(Conformance, OperatorsGiveWhatOnnxRuntimeGives) { expect_golden_results(kOnnxRuntime, 188); }

// Half of ONNX's own node tests, where the folder is there. What is not supported is counted by name, never skipped.
TEST(Conformance, OperatorsPassOnnxsOwnNodeTests) {
  if (!fs::is_directory(kSuite)) GTEST_SKIP() << kSuite << " is not here";
  Session session({.threads = 2});
  const ConformanceResult result = run_conformance(kSuite, session);
  EXPECT_EQ(result.failed, 0) << listed(result);
  std::cout << result.passed << " passed, " << result.failed << " failed, " << result.unsupported << " unsupported:";
  for (const auto& [op, count] : result.unsupported_by_op) std::cout << " " << op << " " << count << ",";
  std::cout << "\n";
  EXPECT_GE(result.passed, 750);
  // Operators that Retune has, but not as the test wants them: windows over three axes and integers, strings, training.
  std::vector<std::string> partly;
  for (const auto& [op, count] : result.unsupported_by_op)
    if (OpRegistry::standard().find("", op, 1000) != nullptr) partly.push_back(op);
  EXPECT_THAT(partly, IsSubsetOf({"AveragePool", "Constant", "Dropout", "MaxPool"}));
  EXPECT_EQ(result.passed + result.failed + result.unsupported,
            std::distance(fs::directory_iterator(kSuite), fs::directory_iterator()));
}

TEST(Conformance, AWrongValueAndABrokenTestAreFailures) {
  Workspace work;
  fs::copy(kGolden / "test_relu", work.path / "test_relu", fs::copy_options::recursive);
  fs::copy(kGolden / "test_relu", work.path / "test_truncated", fs::copy_options::recursive);
  fs::copy(kGolden / "test_relu", work.path / "test_without_data", fs::copy_options::recursive);
  fs::copy_file(work.path / "test_relu" / "test_data_set_0" / "input_0.pb",
                work.path / "test_relu" / "test_data_set_0" / "output_0.pb", fs::copy_options::overwrite_existing);
  fs::resize_file(work.path / "test_truncated" / "model.onnx", 20);
  fs::remove_all(work.path / "test_without_data" / "test_data_set_0");
  Session session({.threads = 1});
  const ConformanceResult result = run_conformance(work.path, session);
  EXPECT_EQ(result.passed, 0);
  EXPECT_THAT(result.failures, ElementsAre(HasSubstr("test_relu: output 'y', element"), HasSubstr("test_truncated: "),
                                           HasSubstr("test_without_data: no test_data_set_*")));
}

TEST(Conformance, AFolderWithoutTestsIsAUserError) {
  Workspace work;
  Session session({.threads = 1});
  EXPECT_THROW(run_conformance(work.path, session), Error);
  EXPECT_THROW(run_conformance(work.path / "nowhere", session), Error);
}

}  // namespace
}  // namespace retune
