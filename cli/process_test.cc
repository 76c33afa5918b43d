// What only the program as a process shows: its standard streams, and the signals that the system sends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "adapters/tensor_file.h"
#include "graph/graph_builder.h"
#include "graph/import.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

class Process : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              (std::string("retune_process_") + testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    Graph graph;  // y = x + x
    const ValueId x = graph.add_input("x", DType::kF32, {{kElements, ""}});
    GraphBuilder builder(graph);
    graph.outputs.push_back(builder.op("Add", {x, x}, {}, "y"));
    export_onnx(graph, {}, folder_ / "double.onnx");
    write_tensors(folder_ / "in.h5", {{"x", Tensor::zeros(DType::kF32, {kElements})}});
  }
  void TearDown() override { fs::remove_all(folder_); }

  // The exit code of `before; retune run ... after`, in the folder.
  int run(const std::string& before, const std::string& after) const {
    const std::string line =
        "cd '" + folder_.string() + "'; " + before + " '" RETUNE_PROGRAM "' run double.onnx --inputs in.h5 " + after;
    const int status = std::system(line.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  std::string bytes(const std::string& name) const {
    std::ifstream file(folder_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const auto& entry : fs::directory_iterator(folder_)) result.push_back(entry.path().filename());
    return result;
  }

  static constexpr std::int64_t kElements = 4096;
  fs::path folder_;
};

// Started with closed streams, the output file became standard output, and the results were printed into it.
TEST_F(Process, StartedWithoutStreamsItWritesTheSameFile) {
  EXPECT_EQ(run("", "--outputs open.h5 > out.txt"), 0);
  EXPECT_EQ(run("", "--outputs closed.h5 <&- >&- 2>&-"), 0);
  EXPECT_EQ(bytes("closed.h5"), bytes("open.h5"));
  EXPECT_THAT(bytes("out.txt"), HasSubstr("y  f32 [4096]"));
}

// At the limit on the size of files (ulimit -f) the program was killed without a word and left its temporary file.
TEST_F(Process, AFileSizeLimitIsAFailureInOneLineThatLeavesNothing) {
  EXPECT_EQ(run("ulimit -f 4;", "--outputs out.h5 2> err.txt"), 1);
  EXPECT_THAT(bytes("err.txt"), HasSubstr("retune: error: cannot write"));
  EXPECT_THAT(bytes("err.txt"), HasSubstr("ulimit -f"));
  EXPECT_THAT(names(), UnorderedElementsAre("double.onnx", "in.h5", "err.txt"));
}

}  // namespace
}  // namespace retune
