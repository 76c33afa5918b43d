// The factors of a gradient against the gradient itself, on a whole model (methods.md 5.13, T9).
#include "learning/gradient_factors.h"

#include <gtest/gtest.h>

#include <cmath>

#include "lalm/answer.h"
#include "learning/site_weight.h"
#include "tensor/error.h"
#include "tests/tiny_bundle.h"

namespace retune {
namespace {

class GradientFactorsOfATinyModel : public testing::Test {
 protected:
  GradientFactorsOfATinyModel() {
    write_tiny_bundle(scratch_ / "bundle");
    bundle_ = Bundle::open(scratch_ / "bundle");
    losses_ = loss_graphs(*bundle_);
  }

  Lesson lesson(double weight = 1) {
    return {prompt_for(session_, *bundle_, kTinyQuestion, tone(180)), target_ids(*bundle_, "cat"), weight,
            Objective::kTargetNew};
  }
  std::vector<Site> sites(const std::vector<std::string>& names) const {
    std::vector<Site> found;
    for (const std::string& name : names) found.push_back(bundle_->site(name));
    return found;
  }
  FactorReading read(const std::vector<Site>& sites, const Lesson& what) {
    return gradient_factors(session_, *bundle_, losses_, sites, what);
  }
  // dL/dW [out, in], by way of the weight.
  Tensor whole(const Site& site, const Lesson& what) {
    SuffixRequest suffix = lesson_request(session_, *bundle_, losses_, what, 0);
    suffix.request.outputs = {kLessonLoss};
    suffix.request.loss = kLessonLoss;
    suffix.request.wrt = {site.weight};
    const Results results = session_.run(suffix.graph, bundle_->parameters(), suffix.request);
    return site_part(results["grad:" + site.weight].tensor, site.delta_shape, site.targets[0]);
  }

  ScratchFolder scratch_;
  Session session_{SessionOptions{.threads = 2}};
  std::optional<Bundle> bundle_;
  LossGraphs losses_;
};

TEST_F(GradientFactorsOfATinyModel, SumToTheGradientOfEveryKindOfLayerAtOnce) {
  const std::vector<Site> all = sites({"decoder.block.2.mlp.down", "decoder.block.0.mlp.gate", "decoder.block.1.mlp.up",
                                       "decoder.block.1.attn.q", "connector.1", "encoder.block.1.mlp.fc2"});
  const Lesson what = lesson(0.7);
  const FactorReading reading = read(all, what);
  ASSERT_EQ(reading.factors.size(), all.size());
  for (std::size_t s = 0; s < all.size(); ++s) {
    SCOPED_TRACE(all[s].name);
    const Tensor &x = reading.factors[s].inputs, &g = reading.factors[s].gradients;
    const Tensor expected = whole(all[s], what);
    ASSERT_EQ(x.shape()[0], g.shape()[0]);
    double error = 0, size = 0;
    for (std::int64_t o = 0; o < all[s].out; ++o)
      for (std::int64_t i = 0; i < all[s].in; ++i) {
        double sum = 0;
        for (std::int64_t t = 0; t < x.shape()[0]; ++t)
          sum += static_cast<double>(g.data<float>()[t * all[s].out + o]) *
                 static_cast<double>(x.data<float>()[t * all[s].in + i]);
        const double truth = expected.data<float>()[o * all[s].in + i];
        error += (sum - truth) * (sum - truth);
        size += truth * truth;
      }
    EXPECT_GT(size, 0);
    EXPECT_LE(std::sqrt(error / size), 1e-5);
  }
}

TEST_F(GradientFactorsOfATinyModel, HaveARowAToken) {
  const Lesson what = lesson();
  const FactorReading reading = read(sites({"decoder.block.2.mlp.down", "connector.1"}), what);
  EXPECT_EQ(reading.factors[0].inputs.shape(),
            (Shape{what.prompt.length() + static_cast<std::int64_t>(what.target.size()) - 1, 24}));
  EXPECT_EQ(reading.factors[1].gradients.shape(),
            (Shape{static_cast<std::int64_t>(what.prompt.audio_rows.size()), 16}));
  // Behind the last block, only the positions that predict the target matter.
  const Tensor& g = reading.factors[0].gradients;
  for (std::int64_t t = 0; t < g.shape()[0]; ++t) {
    double length = 0;
    for (std::int64_t i = 0; i < 16; ++i) length += std::abs(static_cast<double>(g.data<float>()[t * 16 + i]));
    EXPECT_EQ(length > 0, t >= what.prompt.length() - 1) << t;
  }
}

TEST_F(GradientFactorsOfATinyModel, GiveTheLossAndDoNotChangeIt) {
  const Lesson what = lesson();
  SuffixRequest suffix = lesson_request(session_, *bundle_, losses_, what, 0);
  suffix.request.outputs = {kLessonLoss};
  const double plain =
      session_.run(suffix.graph, bundle_->parameters(), suffix.request)[kLessonLoss].tensor.to_f64()[0];
  EXPECT_EQ(read(sites({"decoder.block.1.mlp.down"}), what).loss, plain);
}

TEST_F(GradientFactorsOfATinyModel, RefuseWhatHasNone) {
  EXPECT_THROW(read({}, lesson()), Error);
  EXPECT_THROW(read(sites({"decoder.block.1.residual"}), lesson()), Error);
  EXPECT_THROW(read(sites({"decoder.block.1.mlp.up", "decoder.block.1.mlp.up"}), lesson()), Error);
  const Lesson text{prompt_for(session_, *bundle_, kTinyTextQuestion, std::nullopt), target_ids(*bundle_, "cow"), 1,
                    Objective::kTargetNew};
  EXPECT_THROW(read(sites({"connector.1"}), text), Error);
  EXPECT_NO_THROW(read(sites({"decoder.block.1.mlp.up"}), text));
}

}  // namespace
}  // namespace retune
