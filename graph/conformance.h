// Runs tests in the layout of ONNX's own backend suite and counts what passes.
//
//   FOLDER/test_add/model.onnx
//   FOLDER/test_add/test_data_set_0/input_0.pb, input_1.pb, output_0.pb     (serialized TensorProto, in the graph's
//   order)
//
//   Session session;
//   ConformanceResult result = run_conformance("node", session);
//   fmt::print("{} passed, {} failed, {} unsupported\n", result.passed, result.failed, result.unsupported);
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "graph/session.h"

namespace retune {

struct ConformanceOptions {
  // Of float outputs: |got - expected| <= absolute + relative |expected|; NaN equals NaN. Everything else must be
  // equal. These are the suite's own tolerances.
  double relative = 1e-3;
  double absolute = 1e-7;
};

struct ConformanceResult {
  int passed = 0;       // tests of which every data set gave every output
  int failed = 0;       // a wrong value, type or shape, or an error
  int unsupported = 0;  // the model needs an operator, an element type or a mode that Retune says it does not support
  struct Counts {
    int passed = 0, failed = 0, unsupported = 0;
  };
  // By the operator under test, the one node of its model; "(several nodes)" for models of more, "(unreadable)".
  std::map<std::string, Counts> by_operator;
  std::map<std::string, int> unsupported_by_op;  // operator (its type, if that is the matter) to number of tests
  std::vector<std::string> failures;  // a line a failed test: "test_add: output 'y', element 3: expected 1, got 2"
};

// Every test_* folder below `folder`, in order of name; `observer` counts them. A test that cannot be read is a failure
// of that test. User error if there is no test at all.
ConformanceResult run_conformance(const std::filesystem::path& folder, Session& session,
                                  const ConformanceOptions& options = {}, const WorkObserver& observer = {});

}  // namespace retune
