#include "graph/op_coverage.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "graph/op_registry.h"
#include "graph/ops/kernel.h"

namespace retune {

namespace {

// What no test shows, and why that is right. An entry that is not needed any more fails.
const std::map<std::string, std::string>& exceptions() {
  static const std::map<std::string, std::string> reasons{
      {"gradient of retune.Loop since 1", "a gradient through it is an error, which LateLoop tests"},
      {"gradient of retune.Scan since 1", "a gradient through it is an error, which LateScan tests"}};
  return reasons;
}

std::string key(const Op& op, Checked what) {
  const char* names[] = {"forward", "gradient", "use"};
  return fmt::format("{} of {}{}{} since {}", names[static_cast<int>(what)], op.domain, op.domain.empty() ? "" : ".",
                     op.name, op.since);
}

// gtest keeps what a test recorded with its result, so that nothing of ours outlives a test.
std::set<std::string> shown_by_passed_tests() {
  const testing::UnitTest& program = *testing::UnitTest::GetInstance();
  std::set<std::string> shown;
  for (int s = 0; s < program.total_test_suite_count(); ++s) {
    const testing::TestSuite& suite = *program.GetTestSuite(s);
    for (int t = 0; t < suite.total_test_count(); ++t) {
      const testing::TestResult& result = *suite.GetTestInfo(t)->result();
      for (int i = 0; result.Passed() && i < result.test_property_count(); ++i)
        shown.insert(result.GetTestProperty(i).key());
    }
  }
  return shown;
}

std::vector<std::string> missing(const std::set<std::string>& shown) {
  std::vector<std::string> result;
  const auto need = [&](const Op& op, Checked what) {
    if (!shown.contains(key(op, what))) result.push_back(key(op, what));
  };
  for (const Op& op : OpRegistry::standard().all()) {
    // A part of a gradient computes nothing that would mean something by itself.
    const bool gradient_only = op.no_vjp == kIsGradient;
    if (!gradient_only || !shown.contains(key(op, Checked::kForward)))
      need(op, gradient_only ? Checked::kInUse : Checked::kForward);
    if (op.vjp != nullptr || op.body != nullptr) need(op, Checked::kGradient);
  }
  return result;
}

class OperatorCoverage : public testing::Environment {
 public:
  void TearDown() override {
    const testing::UnitTest& program = *testing::UnitTest::GetInstance();
    if (program.test_to_run_count() < program.total_test_count()) return;  // some of the tests show some operators
    std::map<std::string, std::string> excused = exceptions();
    for (const std::string& what : missing(shown_by_passed_tests()))
      if (excused.erase(what) == 0)
        ADD_FAILURE() << "no test checks the " << what << ": write an OpCase (graph/op_case.h) or golden data";
    for (const auto& [what, reason] : excused) ADD_FAILURE() << "the exception for the " << what << " is not needed";
  }
};

// gtest owns it.
[[maybe_unused]] const testing::Environment* const kCoverage =
    testing::AddGlobalTestEnvironment(new OperatorCoverage);  // NOLINT(cert-err58-cpp)

}  // namespace

void note(const Op& op, Checked what) { testing::Test::RecordProperty(key(op, what), "checked"); }

void note(const Graph& graph, Checked what) {
  for (const Node& node : graph.nodes()) {
    if (const Op* op = OpRegistry::standard().find(node.domain, node.op, node.version)) note(*op, what);
    for (const auto& [name, content] : node.attributes.items())
      if (const auto* sub = std::get_if<std::shared_ptr<const Graph>>(&content)) note(**sub, what);
  }
}

}  // namespace retune
