#include "cli/work_bar.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "graph/graph_builder.h"

namespace retune {
namespace {

using testing::HasSubstr;

// Tanh upon tanh of x [2].
std::shared_ptr<const Graph> tower(int floors) {
  Graph graph;
  GraphBuilder b(graph);
  ValueId h = graph.add_input("x", DType::kF32, {{2, ""}});
  for (int i = 0; i < floors; ++i) h = b.op("Tanh", {h}, {}, fmt::format("h{}", i));
  graph.outputs = {h};
  return std::make_shared<const Graph>(std::move(graph));
}

// Every look at the clock is 3 seconds later.
struct Seen {
  std::ostringstream out, err;
  Console console;
  double now = 0;
  explicit Seen(const std::string& level = "info") : console({out, err, true}, level) {}
  Clock clock() {
    return [this] { return now += 3; };
  }
};

Request request_for(const Graph& graph) {
  Request request;
  request.inputs["x"] = {Tensor::vector<float>({1, 2}), {}};
  request.outputs = {graph.value(graph.outputs[0]).name};
  return request;
}

// `run` and `grad` said nothing, however long they took.
TEST(WorkBar, FollowsTheNodesOfARun) {
  Seen seen;
  Session session({.threads = 1});
  const auto graph = tower(4);
  {
    WorkBar bar(seen.console, "run", seen.clock());
    bar.follow(session);
    session.run(graph, {}, request_for(*graph));
  }
  // Three of the clock's seconds for each of four nodes.
  EXPECT_THAT(seen.err.str(), HasSubstr("run [######..................] 25 %, 0:09 left"));
  EXPECT_THAT(seen.err.str(), HasSubstr("] 50 %, 0:06 left"));
  EXPECT_THAT(seen.err.str(), HasSubstr("] 100 %"));
  const std::string before = seen.err.str();
  session.run(graph, {}, request_for(*graph));
  EXPECT_EQ(seen.err.str(), before) << "the bar is gone";
}

TEST(WorkBar, RunsAreSharesOfTheRunsExpected) {
  Seen seen;
  Session session({.threads = 1});
  const auto graph = tower(2);
  WorkBar bar(seen.console, "read", seen.clock());
  bar.follow(session);
  bar.expect_runs(2);
  session.run(graph, {}, request_for(*graph));
  EXPECT_THAT(seen.err.str(), HasSubstr("] 50 %"));
  EXPECT_THAT(seen.err.str(), testing::Not(HasSubstr("100 %")));
  session.run(graph, {}, request_for(*graph));
  EXPECT_THAT(seen.err.str(), HasSubstr("] 100 %"));
}

TEST(WorkBar, ARunWithinAPartNeverLeadsBack) {
  Seen seen;
  Session session({.threads = 1});
  const auto graph = tower(2);
  WorkBar bar(seen.console, "check", seen.clock());
  bar.follow(session);
  const WorkObserver parts = bar.parts("check");
  parts(1, 2);
  EXPECT_THAT(seen.err.str(), HasSubstr("] 50 %"));
  session.run(graph, {}, request_for(*graph));
  EXPECT_THAT(seen.err.str(), HasSubstr("] 75 %"));
  seen.err.str("");
  session.run(graph, {}, request_for(*graph));
  EXPECT_THAT(seen.err.str(), testing::Not(HasSubstr("75 %"))) << "the part's second run";
  bar.parts("prove")(0, 5);
  bar.parts("prove")(1, 5);
  EXPECT_THAT(seen.err.str(), HasSubstr("prove [####....................] 20 %"));
}

TEST(WorkBar, IsSilentWhereErrorsAloneAreTold) {
  Seen seen("error");
  WorkBar bar(seen.console, "patch", seen.clock());
  bar.parts("patch")(1, 2);
  EXPECT_EQ(seen.err.str(), "");
}

}  // namespace
}  // namespace retune
