#include "training/lalm_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "tensor/error.h"

namespace retune {
namespace {

LalmShape small() {
  LalmShape shape;
  shape.mel_bins = 8;
  shape.encoder_width = 8;
  shape.encoder_blocks = 1;
  shape.encoder_heads = 2;
  shape.encoder_hidden = 12;
  shape.max_encoder_frames = 64;
  shape.stack = 4;
  shape.connector_hidden = 6;
  shape.width = 12;
  shape.blocks = 2;
  shape.heads = 4;
  shape.kv_heads = 2;
  shape.head_size = 6;
  shape.hidden = 10;
  shape.vocabulary = 17;
  return shape;
}

Tensor noise(const Shape& shape, std::uint64_t seed) {
  Rng rng(seed);
  Tensor tensor = Tensor::empty(DType::kF32, shape);
  for (std::int64_t i = 0; i < tensor.numel(); ++i) tensor.mutable_data<float>()[i] = static_cast<float>(rng.normal());
  return tensor;
}

Tensor ints(const Shape& shape, std::vector<std::int64_t> values) { return Tensor::of<std::int64_t>(shape, values); }

// [1, S, H] embeddings after `past` tokens of cache, all visible.
Request decoder_request(const Tensor& embeds, std::int64_t past, const Results* before) {
  Request request;
  const std::int64_t rows = embeds.shape()[1];
  std::vector<std::int64_t> positions(static_cast<std::size_t>(rows));
  std::iota(positions.begin(), positions.end(), past);
  request.inputs["inputs_embeds"] = {embeds, {}};
  request.inputs["position_ids"] = {ints({1, rows}, positions), {}};
  request.inputs["attention_mask"] = {
      ints({1, past + rows}, std::vector<std::int64_t>(static_cast<std::size_t>(past + rows), 1)), {}};
  request.outputs = {"logits"};
  for (int i = 0; i < 2; ++i)
    for (const char* half : {"key", "value"}) {
      const std::string name = std::to_string(i) + "." + half;
      request.inputs["past_key_values." + name] =
          before ? Feed{(*before)["present." + name].tensor, {}} : Feed{Tensor::zeros(DType::kF32, {1, 2, 0, 6}), {}};
      request.outputs.push_back("present." + name);
    }
  return request;
}

TEST(LalmBuilder, TheEncoderGivesTheDocumentedRows) {
  const LalmShape shape = small();
  const BuiltGraph built = build_audio_encoder(shape, drawn_weights(Rng(1)));
  const auto graph = std::make_shared<const Graph>(built.graph);
  Session session({.threads = 1});
  for (const std::int64_t frames : {1, 2, 7, 8, 31, 33, 100}) {
    Request request;
    request.inputs["audio_values"] = {noise({2, 8, frames}, 2), {}};
    request.outputs = {"audio_features", "encoder_output"};
    const Results results = session.run(graph, built.parameters, request);
    const std::int64_t encoded = (frames - 1) / 2 + 1, rows = (encoded + 3) / 4 + 1;
    EXPECT_EQ(results["encoder_output"].tensor.shape(), (Shape{2, encoded, 8})) << frames;
    EXPECT_EQ(results["audio_features"].tensor.shape(), (Shape{2, rows, 12})) << frames;
  }
}

TEST(LalmBuilder, TheDecoderIsCausalAndItsCacheContinuesIt) {
  const BuiltGraph built = build_decoder(small(), drawn_weights(Rng(1)));
  const auto graph = std::make_shared<const Graph>(built.graph);
  Session session({.threads = 1});
  const Tensor embeds = noise({1, 7, 12}, 3);
  const Results whole = session.run(graph, built.parameters, decoder_request(embeds, 0, nullptr));
  ASSERT_EQ(whole["logits"].tensor.shape(), (Shape{1, 7, 17}));
  EXPECT_EQ(whole["present.1.key"].tensor.shape(), (Shape{1, 2, 7, 6}));
  const auto part = [&](std::int64_t from, std::int64_t count) {
    return embeds.reshaped({7, 12}).rows(from, count).reshaped({1, count, 12});
  };
  const Results first = session.run(graph, built.parameters, decoder_request(part(0, 4), 0, nullptr));
  const Results second = session.run(graph, built.parameters, decoder_request(part(4, 3), 4, &first));
  for (std::int64_t row = 0; row < 7; ++row)
    for (std::int64_t v = 0; v < 17; ++v) {
      const float got = row < 4 ? first["logits"].tensor.data<float>()[row * 17 + v]
                                : second["logits"].tensor.data<float>()[(row - 4) * 17 + v];
      EXPECT_NEAR(got, whole["logits"].tensor.data<float>()[row * 17 + v], 1e-5) << row;
    }
}

TEST(LalmBuilder, PaddingOnTheRightIsNotSeen) {
  const BuiltGraph built = build_decoder(small(), drawn_weights(Rng(1)));
  const auto graph = std::make_shared<const Graph>(built.graph);
  Session session({.threads = 1});
  const Tensor embeds = noise({1, 5, 12}, 3);
  Request padded = decoder_request(embeds, 0, nullptr);
  padded.inputs["attention_mask"] = {ints({1, 5}, {1, 1, 1, 0, 0}), {}};
  const Tensor got = session.run(graph, built.parameters, padded)["logits"].tensor;
  const Tensor three = embeds.reshaped({5, 12}).rows(0, 3).reshaped({1, 3, 12});
  const Tensor expected = session.run(graph, built.parameters, decoder_request(three, 0, nullptr))["logits"].tensor;
  for (std::int64_t i = 0; i < expected.numel(); ++i)
    EXPECT_NEAR(got.data<float>()[i], expected.data<float>()[i], 1e-5);
}

TEST(LalmBuilder, TheSameSeedDrawsTheSameWeightsAndTablesAreComputed) {
  const BuiltGraph a = build_decoder(small(), drawn_weights(Rng(1))), b = build_decoder(small(), drawn_weights(Rng(1))),
                   c = build_decoder(small(), drawn_weights(Rng(2)));
  EXPECT_THAT(a.tables, testing::ElementsAre("model.rotary_emb.inv_freq"));
  int other = 0;
  for (const auto& [name, feed] : a.parameters) {
    EXPECT_TRUE(identical(feed.tensor, b.parameters.at(name).tensor)) << name;
    other += !identical(feed.tensor, c.parameters.at(name).tensor);
  }
  EXPECT_GT(other, 10);
  // theta^(-i / half)
  const float* frequencies = a.parameters.at("model.rotary_emb.inv_freq").tensor.data<float>();
  for (int i = 0; i < 3; ++i) EXPECT_FLOAT_EQ(frequencies[i], static_cast<float>(std::pow(10000.0, -i / 3.0)));
}

TEST(LalmBuilder, RefusesSizesThatDoNotFit) {
  const auto refused = [](auto change) {
    LalmShape shape = small();
    change(shape);
    EXPECT_THROW(build_decoder(shape, drawn_weights(Rng(1))), Error);
  };
  EXPECT_NO_THROW(small().validate());
  refused([](LalmShape& s) { s.vocabulary = 0; });
  refused([](LalmShape& s) { s.heads = 3; });
  refused([](LalmShape& s) { s.head_size = 5; });
  refused([](LalmShape& s) { s.encoder_width = 9; });
  refused([](LalmShape& s) { s.blocks = -1; });
}

}  // namespace
}  // namespace retune
