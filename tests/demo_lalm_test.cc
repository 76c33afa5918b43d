// The whole demo model against PyTorch: logits, and the gradient of every weight through decoder, connector and
// encoder.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "adapters/tensor_file.h"
#include "lalm/answer.h"
#include "learning/answer_loss.h"

namespace retune {
namespace {

class DemoLalm : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists("demo/bundle/config.json") ||
        !std::filesystem::exists("tests/golden/demo_lalm/golden.h5"))
      GTEST_SKIP() << "demo/bundle or its golden data is not here";
    golden_ = read_tensors("tests/golden/demo_lalm/golden.h5");
  }

  Request request(const Bundle& bundle) const {
    const Tensor& ids = golden_.at("ids");
    const std::int64_t length = ids.shape()[1];
    const std::int64_t placeholder = bundle.tokenizer().require_id(bundle.placeholder());
    std::vector<std::int64_t> positions, slots;
    for (std::int64_t i = 0; i < length; ++i) {
      positions.push_back(i);
      if (ids.data<std::int64_t>()[i] == placeholder) slots.push_back(i);
    }
    Request result;
    result.inputs["input_ids"] = {ids, {}};
    result.inputs["attention_mask"] = {
        Tensor::of<std::int64_t>({1, length}, std::vector<std::int64_t>(positions.size(), 1)), {}};
    result.inputs["position_ids"] = {Tensor::of<std::int64_t>({1, length}, positions), {}};
    result.inputs["audio_values"] = {golden_.at("mel"), {}};
    result.inputs["audio_rows"] = {Tensor::of<std::int64_t>({static_cast<std::int64_t>(slots.size()), 1}, slots), {}};
    for (const auto& cache : bundle.decoder().caches)
      for (const std::string& past : {cache.past_key, cache.past_value})
        result.inputs[past] = {Tensor::zeros(cache.dtype, cache.empty), {}};
    return result;
  }

  std::map<std::string, Tensor> golden_;
};

TEST_F(DemoLalm, LogitsAgreeWithPyTorch) {
  const Bundle bundle = Bundle::open("demo/bundle");
  Session session({.threads = 2});
  Request ask = request(bundle);
  ask.outputs = {"logits"};
  const Tensor logits = session.run(bundle.graph(), bundle.parameters(), ask)["logits"].tensor;
  const Tensor& expected = golden_.at("logits");
  ASSERT_EQ(logits.numel(), expected.numel());
  double largest = 0, range = 0;
  for (std::int64_t i = 0; i < expected.numel(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(logits.data<float>()[i]) -
                                         static_cast<double>(expected.data<float>()[i])));
    range = std::max(range, std::abs(static_cast<double>(expected.data<float>()[i])));
  }
  EXPECT_LT(largest, 1e-4 * range);
}

TEST_F(DemoLalm, TheGradientOfEveryWeightAgreesWithPyTorch) {
  const Bundle bundle = Bundle::open("demo/bundle");
  Graph graph = *bundle.graph();
  append_answer_loss(graph);
  Session session({.threads = 2});
  Request ask = request(bundle);
  const std::int64_t length = golden_.at("ids").shape()[1];
  ask.inputs["label_rows"] = {Tensor::vector<std::int64_t>({length - 5, length - 4, length - 3, length - 2}), {}};
  ask.inputs["labels"] = {golden_.at("targets"), {}};
  ask.inputs["label_weights"] = {Tensor::vector<float>({0.25f, 0.25f, 0.25f, 0.25f}), {}};
  ask.outputs = {"loss"};
  ask.loss = "loss";
  std::map<std::string, std::string> linked;  // the golden data's names to the linked graph's
  for (const auto& [name, feed] : bundle.parameters()) {
    const std::string bare = name.substr(name.find('/') + 1);
    if (!golden_.contains("norm/" + bare)) continue;
    linked[bare] = name;
    ask.wrt.push_back(name);
  }
  EXPECT_GT(linked.size(), 100u);
  const Results results = session.run(std::make_shared<const Graph>(std::move(graph)), bundle.parameters(), ask);
  EXPECT_NEAR(results["loss"].tensor.to_f64()[0], golden_.at("loss").to_f64()[0],
              1e-4 * std::abs(golden_.at("loss").to_f64()[0]));
  for (const auto& [bare, name] : linked) {
    const Tensor& gradient = results["grad:" + name].tensor;
    const double norm = golden_.at("norm/" + bare).to_f64()[0];
    double squared = 0;
    for (std::int64_t i = 0; i < gradient.numel(); ++i)
      squared += std::pow(static_cast<double>(gradient.data<float>()[i]), 2);
    EXPECT_NEAR(std::sqrt(squared), norm, 1e-4 * norm + 1e-9) << bare;
    const Tensor& indices = golden_.at("indices/" + bare);
    for (std::int64_t i = 0; i < indices.numel(); ++i)
      EXPECT_NEAR(gradient.data<float>()[indices.data<std::int64_t>()[i]],
                  golden_.at("entries/" + bare).data<float>()[i], 1e-4 * norm + 1e-9)
          << bare;
  }
}

}  // namespace
}  // namespace retune
