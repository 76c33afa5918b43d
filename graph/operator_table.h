// The tables of docs/operators.md, as the program knows them: which operators there are, and what ONNX's tests say.
// `retune operators --markdown` and `retune conformance FOLDER --markdown` print them.
#pragma once

#include <string>
#include <vector>

#include "graph/conformance.h"

namespace retune {

struct OperatorRow {
  std::string domain;  // "ai.onnx" or "com.microsoft"
  std::string name;
  int since = 1;         // the first version of the domain's operator set that is read
  std::string gradient;  // "yes", or why there is none
};

// Every operator that a model may use, by domain and name; Retune's private ones are left out.
std::vector<OperatorRow> operator_rows();

// As Markdown tables, one a domain.
std::string operator_table();

// A row an operator: how many of its tests passed, failed, were not supported.
std::string conformance_table(const ConformanceResult& result);

}  // namespace retune
