// A whole model, from sound to logits and from the loss back to every weight, with any number of threads.
#include <gtest/gtest.h>

#include "learning/lesson.h"
#include "tests/tiny_bundle.h"

namespace retune {
namespace {

// By the type in which weights and everything between them are.
class ModelThreads : public testing::TestWithParam<DType> {
 protected:
  ModelThreads() {
    TinyBundleOptions options;
    options.stored = options.arithmetic = GetParam();
    write_tiny_bundle(scratch_ / "bundle", options);
  }

  // Logits, loss and the gradient of every weight, of a model read and planned anew.
  Results run(int threads) const {
    const Bundle bundle = Bundle::open(scratch_ / "bundle");
    Session session({.threads = threads});
    const Lesson lesson{.prompt = prompt_for(session, bundle, kTinyQuestion, tone(180)),
                        .target = target_ids(bundle, "dog")};
    SuffixRequest suffix = lesson_request(session, bundle, loss_graphs(bundle), lesson, 0);
    suffix.request.outputs = {"logits", kLessonLoss};
    suffix.request.loss = kLessonLoss;
    for (const auto& [name, feed] : bundle.parameters()) suffix.request.wrt.push_back(name);
    return session.run(suffix.graph, bundle.parameters(), suffix.request);
  }

  ScratchFolder scratch_;
};

TEST_P(ModelThreads, AnyNumberGivesTheSameBits) {
  const Results one = run(1);
  std::size_t moved = 0;
  for (const auto& [name, feed] : one.feeds)
    moved +=
        name.starts_with("grad:") && !identical(feed.tensor, Tensor::zeros(feed.tensor.dtype(), feed.tensor.shape()));
  EXPECT_GT(moved, 50U) << "gradients of zero would agree too";
  for (const int threads : {2, 4}) {
    const Results more = run(threads);
    ASSERT_EQ(more.feeds.size(), one.feeds.size());
    for (const auto& [name, feed] : one.feeds)
      EXPECT_TRUE(identical(more[name].tensor, feed.tensor)) << name << " with " << threads << " threads";
  }
}

INSTANTIATE_TEST_SUITE_P(, ModelThreads, testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& dtype) { return std::string(dtype_name(dtype.param)); });

}  // namespace
}  // namespace retune
