#include "lalm/link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/graph_builder.h"
#include "graph/session.h"
#include "tensor/error.h"

namespace retune {
namespace {

using testing::HasSubstr;

// Encoder: features [N, 2, F] to rows [N, F, 2], times 10. Embedding: a table of 5 rows of two. Decoder: logits are the
// embeddings, times a scale.
class Linking : public testing::Test {
 protected:
  Linking() {
    {
      GraphBuilder b(encoder_);
      encoder_.name = "encoder";
      const ValueId x = encoder_.add_input("audio_values", DType::kF32, {{-1, "n"}, {2, ""}, {-1, "f"}});
      const ValueId turned = b.transpose(x, {0, 2, 1});
      encoder_.outputs = {b.op("Mul", {turned, b.scalar(10, DType::kF32)}, {}, "audio_features")};
    }
    {
      GraphBuilder b(embed_);
      embed_.name = "embed";
      const ValueId ids = embed_.add_input("input_ids", DType::kI64, {{-1, "b"}, {-1, "s"}});
      const ValueId table = embed_.add_parameter("table", DType::kF32, {5, 2}, "embed.onnx", "table");
      embed_.outputs = {b.op("Gather", {table, ids}, {}, "inputs_embeds")};
    }
    {
      GraphBuilder b(decoder_);
      decoder_.name = "decoder";
      const ValueId x = decoder_.add_input("inputs_embeds", DType::kF32, {{-1, "b"}, {-1, "s"}, {2, ""}});
      const ValueId mask = decoder_.add_input("attention_mask", DType::kI64, {{-1, "b"}, {-1, "s"}});
      const ValueId table = decoder_.add_parameter("table", DType::kF32, {2}, "decoder.onnx", "table");
      b.op("Cast", {mask}, {{"to", std::int64_t{1}}}, "unused");
      decoder_.outputs = {b.op("Mul", {x, table}, {}, "logits")};
    }
    parameters_["embed/table"] = {Tensor::of<float>({5, 2}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}), {}};
    parameters_["decoder/table"] = {Tensor::of<float>({2}, {1, -1}), {}};
  }

  std::string refused() {
    try {
      link({&encoder_, &embed_, &decoder_});
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUser);
      return error.what();
    }
    return "no error";
  }

  Graph encoder_, embed_, decoder_;
  Parameters parameters_;
};

TEST_F(Linking, PutsAudioRowsWhereThePromptHasItsPlaceholders) {
  const auto graph = std::make_shared<const Graph>(link({&encoder_, &embed_, &decoder_}));
  Session session({.threads = 1});
  Request request;
  request.inputs["input_ids"] = {Tensor::of<std::int64_t>({2, 3}, {4, 0, 0, 0, 1, 2}), {}};
  request.inputs["audio_values"] = {Tensor::of<float>({1, 2, 3}, {1, 2, 3, 4, 5, 6}), {}};
  request.inputs["audio_rows"] = {Tensor::of<std::int64_t>({3, 1}, {1, 2, 3}), {}};  // the last is row 0 of the second
  request.outputs = {"logits", "audio_features", "inputs_embeds"};
  const Results results = session.run(graph, parameters_, request);
  EXPECT_TRUE(identical(results["audio_features"].tensor, Tensor::of<float>({3, 2}, {10, 40, 20, 50, 30, 60})));
  EXPECT_TRUE(identical(results["inputs_embeds"].tensor,
                        Tensor::of<float>({2, 3, 2}, {8, 9, 10, 40, 20, 50, 30, 60, 2, 3, 4, 5})));
  EXPECT_TRUE(identical(results["logits"].tensor,
                        Tensor::of<float>({2, 3, 2}, {8, -9, 10, -40, 20, -50, 30, -60, 2, -3, 4, -5})));
}

TEST_F(Linking, KeepsFilesApartByTheirPrefix) {
  const Graph graph = link({&encoder_, &embed_, &decoder_});
  EXPECT_EQ(graph.value(graph.require("embed/table")).file, "embed.onnx");
  EXPECT_EQ(graph.value(graph.require("decoder/table")).file, "decoder.onnx");
  EXPECT_EQ(graph.value(graph.require("decoder/table")).initializer, "table");
  EXPECT_NE(graph.find("decoder/unused"), kNoValue);
  EXPECT_NE(graph.find("attention_mask"), kNoValue) << "inputs of the decoder keep their names";
}

TEST_F(Linking, WithoutAnEncoderAsksForNoSound) {
  const auto graph = std::make_shared<const Graph>(link({nullptr, &embed_, &decoder_}));
  EXPECT_EQ(graph->find("audio_values"), kNoValue);
  EXPECT_EQ(graph->find("audio_rows"), kNoValue);
  Session session({.threads = 1});
  Request request;
  request.inputs["input_ids"] = {Tensor::of<std::int64_t>({1, 2}, {1, 3}), {}};
  request.outputs = {"logits"};
  EXPECT_TRUE(identical(session.run(graph, parameters_, request)["logits"].tensor,
                        Tensor::of<float>({1, 2, 2}, {2, -3, 6, -7})));
}

TEST_F(Linking, SaysWhatARoleLacks) {
  decoder_.rename(decoder_.find("logits"), "scores");
  EXPECT_THAT(refused(), HasSubstr("decoder graph 'decoder' has no output 'logits'; it has 'scores'"));
  encoder_.rename(encoder_.find("audio_features"), "hidden");
  EXPECT_THAT(refused(), HasSubstr("audio encoder graph 'encoder' has no output 'audio_features'"));
  embed_.rename(embed_.find("input_ids"), "ids");
  EXPECT_THAT(refused(), HasSubstr("token embedding graph 'embed' has no input 'input_ids'; it has 'ids'"));
}

}  // namespace
}  // namespace retune
