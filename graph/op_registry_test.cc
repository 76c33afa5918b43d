#include "graph/op_registry.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "tensor/error.h"

namespace retune {
namespace {

TEST(OpRegistry, EveryOperatorIsWhole) {
  for (const Op& op : OpRegistry::standard().all()) {
    if (op.body) {
      EXPECT_TRUE(!op.infer && !op.forward && !op.vjp && op.no_vjp.empty())
          << op.name << " has a body that says it all";
      continue;
    }
    EXPECT_NE(op.infer, nullptr) << op.name;
    EXPECT_NE(op.forward, nullptr) << op.name;
    EXPECT_NE(op.vjp != nullptr, !op.no_vjp.empty())
        << op.name << " needs a gradient, or a reason why it has none, and not both";
  }
}

TEST(OpRegistry, NoOperatorIsThereTwice) {
  std::set<std::string> seen;
  for (const Op& op : OpRegistry::standard().all())
    EXPECT_TRUE(seen.insert(fmt::format("{} {} {}", op.domain, op.name, op.since)).second)
        << op.domain << " " << op.name;
}

TEST(OpRegistry, EveryOperatorIsInTheManual) {
  std::stringstream manual;
  manual << std::ifstream("docs/operators.md").rdbuf();
  for (const Op& op : OpRegistry::standard().all()) {
    if (op.domain == "retune") continue;
    EXPECT_NE(manual.str().find("`" + op.name + "`"), std::string::npos) << op.name << " is not in docs/operators.md";
  }
}

TEST(OpRegistry, VersionsAndDomainsDecide) {
  const OpRegistry& registry = OpRegistry::standard();
  EXPECT_EQ(registry.find("", "Gelu", 19)->domain,
            "com.microsoft");  // ONNX has it from 20 on; before, only ONNX Runtime did
  EXPECT_EQ(registry.find("", "Gelu", 20)->domain, "");
  EXPECT_EQ(registry.find("ai.onnx", "Add", 17), registry.find("", "Add", 17));
  EXPECT_EQ(registry.find("", "Add", 6), nullptr);  // other rules of broadcasting
  EXPECT_EQ(registry.find("com.microsoft", "Add", 1), nullptr);
  EXPECT_EQ(registry.find("", "Fourier", 17), nullptr);
}

TEST(OpRegistry, AnUnknownOperatorIsNamedWithItsNode) {
  const Node node{
      .domain = "com.example", .op = "Wobble", .version = 3, .name = "/model/wobble", .file = "decoder.onnx"};
  try {
    OpRegistry::standard().require(node);
    FAIL() << "found an operator that nobody wrote";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    for (const char* part : {"Wobble", "com.example", "opset 3", "/model/wobble", "decoder.onnx", "not supported"})
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace retune
