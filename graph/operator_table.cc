#include "graph/operator_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "graph/op_registry.h"
#include "graph/specialize.h"

namespace retune {

std::vector<OperatorRow> operator_rows() {
  std::vector<OperatorRow> rows;
  for (const Op& op : OpRegistry::standard().all()) {
    if (op.domain == "retune") continue;
    const bool has_gradient = op.vjp != nullptr || op.body != nullptr;
    rows.push_back({op.domain.empty() ? "ai.onnx" : op.domain, op.name, op.since, has_gradient ? "yes" : op.no_vjp});
  }
  // Control flow and sequences have no entry in the registry: planning resolves them.
  rows.push_back({"ai.onnx", "If", 1, "yes"});
  for (const char* name : {"Loop", "Scan"})
    rows.push_back({"ai.onnx", name, name[0] == 'L' ? 1 : 8, "where its trips are known while planning"});
  for (const ListOperator& op : list_operators()) rows.push_back({"ai.onnx", op.name, op.since, op.gradient});
  std::sort(rows.begin(), rows.end(), [](const OperatorRow& a, const OperatorRow& b) {
    return std::tie(a.domain, a.name, a.since) < std::tie(b.domain, b.name, b.since);
  });
  return rows;
}

std::string operator_table() {
  std::string text, domain;
  for (const OperatorRow& row : operator_rows()) {
    if (row.domain != domain) {
      domain = row.domain;
      text += fmt::format("{}| {} | since | gradient |\n| --- | --- | --- |\n", text.empty() ? "" : "\n", domain);
    }
    text += fmt::format("| `{}` | {} | {} |\n", row.name, row.since, row.gradient);
  }
  return text;
}

std::string conformance_table(const ConformanceResult& result) {
  std::string text =
      fmt::format("{} passed, {} failed, {} not supported.\n\n", result.passed, result.failed, result.unsupported);
  text += "| operator | passed | failed | not supported |\n| --- | --- | --- | --- |\n";
  for (const auto& [name, count] : result.by_operator)
    text += fmt::format("| {} | {} | {} | {} |\n", name, count.passed, count.failed, count.unsupported);
  return text;
}

}  // namespace retune
