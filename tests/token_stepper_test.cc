// Token by token against the whole evaluation, past several capacities of the growing cache, and with a decoder whose
// mask cannot hide the cache's unused rows.
#include "lalm/token_stepper.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "graph/import.h"
#include "lalm/check.h"
#include "tests/tiny_bundle.h"

namespace retune {
namespace {

constexpr std::int64_t kSteps = 150;

std::vector<std::int64_t> some_ids(const Bundle& bundle) {
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < kSteps; ++i) ids.push_back(7 * i % bundle.tokenizer().vocabulary_size());
  return ids;
}

TokenStepper stepper_after(Session& session, const Bundle& bundle, const Prompt& prompt) {
  static const std::vector<std::string> nothing_varies;
  SuffixRequest whole = suffix_request(session, bundle, prompt, {}, 0);
  ask_for_cache(bundle, whole.request);
  return {session, bundle, prompt, nothing_varies,
          past_from(bundle, session.run(whole.graph, bundle.parameters(), whole.request))};
}

// Every step's logits; the plans that steps from `from` on needed are counted.
std::int64_t expect_steps_of_the_whole(const Bundle& bundle, const Prompt& prompt, std::int64_t from,
                                       double tolerance) {
  Session session({.threads = 2}), other({.threads = 1});
  const std::vector<std::int64_t> ids = some_ids(bundle);
  const Tensor whole = logits_of(other, bundle, prompt, ids, prompt.length());
  TokenStepper stepper = stepper_after(session, bundle, prompt);
  std::int64_t plans = 0;
  for (std::int64_t i = 0; i < kSteps; ++i) {
    if (i == from) plans = session.counters().plans_made;
    const Tensor logits = stepper.step(ids[static_cast<std::size_t>(i)]);
    EXPECT_LE(range_difference(whole.rows(i, 1), logits), tolerance) << "step " << i;
  }
  return session.counters().plans_made - plans;
}

class TokenStepping : public testing::Test {
 protected:
  TokenStepping() { write_tiny_bundle(scratch_ / "bundle"); }
  ScratchFolder scratch_;
};

TEST_F(TokenStepping, GivesTheLogitsOfTheWholeFromFewPlans) {
  const Bundle bundle = Bundle::open(scratch_ / "bundle");
  Session session;
  const Prompt prompt = prompt_for(session, bundle, kTinyQuestion, tone(180));
  // At most one plan for each capacity, of 64 rows more than the one before.
  EXPECT_LE(expect_steps_of_the_whole(bundle, prompt, 5, 1e-5), kSteps / 64 + 1);
}

TEST_F(TokenStepping, SixteenBitCachesGrowToo) {
  write_tiny_bundle(scratch_ / "half", {.stored = DType::kBF16, .arithmetic = DType::kBF16});
  const Bundle bundle = Bundle::open(scratch_ / "half");
  Session session;
  const Prompt prompt = prompt_for(session, bundle, kTinyTextQuestion, std::nullopt);
  EXPECT_LE(expect_steps_of_the_whole(bundle, prompt, 5, 6e-2), kSteps / 64 + 1);
}

// With every row of the cache visible, whatever the mask says, zeros in unused rows would take part in attention.
TEST_F(TokenStepping, ADecoderThatDoesNotHeedItsMaskIsAskedExactly) {
  LalmShape shape = tiny_shape();
  shape.vocabulary = Bundle::open(scratch_ / "bundle").tokenizer().vocabulary_size();
  const WeightSource drawn = drawn_weights(Rng(3));
  BuiltGraph decoder = build_decoder(shape, [&](const std::string& name, const Shape& dims, double mean,
                                                double deviation) { return drawn(name, dims, mean, 8 * deviation); });
  const auto& nodes = decoder.graph.nodes();
  const auto visible = std::find_if(nodes.begin(), nodes.end(), [](const Node& node) { return node.op == "And"; });
  ASSERT_NE(visible, nodes.end());
  Node blind = *visible;
  blind.inputs[1] = blind.inputs[0];
  decoder.graph.replace_node(static_cast<std::size_t>(visible - nodes.begin()), blind, 0);
  export_onnx(decoder.graph, decoder.parameters, scratch_ / "bundle/onnx/decoder_model_merged.onnx");
  const Bundle bundle = Bundle::open(scratch_ / "bundle");
  Session session;
  const Prompt prompt = prompt_for(session, bundle, kTinyTextQuestion, std::nullopt);
  EXPECT_GE(expect_steps_of_the_whole(bundle, prompt, 5, 1e-5), kSteps - 5);
}

}  // namespace
}  // namespace retune
