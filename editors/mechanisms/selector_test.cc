#include "editors/mechanisms/selector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/graph_builder.h"
#include "tensor/error.h"
#include "text/bpe_trainer.h"

namespace retune {
namespace {

using testing::ElementsAre;

// Ten slots at positions 2..11, one second of sound of which the first half is not padding.
PromptView heard() {
  PromptView view;
  view.prompt.ids.assign(15, 0);
  for (std::int64_t row = 2; row < 12; ++row) view.prompt.audio_rows.push_back(row);
  view.seconds = 1;
  view.heard = 0.5;
  return view;
}

Tokenizer bytes() {
  return Tokenizer::parse(
      train_byte_level_bpe(std::vector<std::string>{"x"}, {.vocabulary_size = 257, .special_tokens = {"<|end|>"}}),
      "bytes");
}

TEST(Selector, SpellingsAreRead) {
  EXPECT_EQ(parse_selector("mean_audio").kind, Selector::Kind::kMeanAudio);
  const Selector span = parse_selector("audio_span(0.25,1.5)");
  EXPECT_EQ(span.begin_seconds, 0.25);
  EXPECT_EQ(span.end_seconds, 1.5);
  EXPECT_EQ(parse_selector("text_subject_last(the cat)").text, "the cat");
  for (const char* wrong : {"last", "audio_span(1,1)", "audio_span(-1,2)", "audio_span(1)", "audio_span(a,b)",
                            "text_subject_last()", "nothing(1,2)"})
    EXPECT_THROW(parse_selector(wrong), Error) << wrong;
}

TEST(Selector, PaddingIsNotSound) {
  const Tokenizer tokenizer = bytes();
  EXPECT_THAT(select_positions(parse_selector("last_prompt"), heard(), tokenizer), ElementsAre(14));
  EXPECT_THAT(select_positions(parse_selector("last_audio"), heard(), tokenizer), ElementsAre(6));
  EXPECT_THAT(select_positions(parse_selector("mean_audio"), heard(), tokenizer), ElementsAre(2, 3, 4, 5, 6));
  EXPECT_THAT(select_audio_rows(parse_selector("mean_audio"), heard(), 4), ElementsAre(0, 1));
}

TEST(Selector, ASpanTakesTheRowsThatOverlapIt) {
  EXPECT_THAT(select_audio_rows(parse_selector("audio_span(0.15,0.3)"), heard(), 10), ElementsAre(1, 2));
  EXPECT_THROW(select_audio_rows(parse_selector("audio_span(0.7,0.9)"), heard(), 10), Error);
}

TEST(Selector, TextEndsAtTheTokenThatCompletesItsFirstOccurrence) {
  const Tokenizer tokenizer = bytes();
  PromptView view;
  view.prompt.ids = tokenizer.encode("Which Animal is it? animal");
  EXPECT_THAT(select_positions({Selector::Kind::kAttributeNoun, 0, 0, "animal"}, view, tokenizer), ElementsAre(11));
  EXPECT_THROW(select_positions(parse_selector("text_subject_last(plant)"), view, tokenizer), Error);
  EXPECT_THROW(select_positions(parse_selector("mean_audio"), view, tokenizer), Error);
}

TEST(Selector, ACutNeverGoesThroughTheSound) {
  const Prompt prompt = heard().prompt;
  EXPECT_EQ(cut_before(prompt, 14), 14);
  EXPECT_EQ(cut_before(prompt, 12), 12);
  EXPECT_EQ(cut_before(prompt, 7), 2);
  EXPECT_EQ(cut_before(prompt, 1), 1);
}

TEST(SiteAxis, FollowsFromTheGraphAlone) {
  Graph graph;
  GraphBuilder builder(graph);
  const ValueId sound = graph.add_input("audio_values", DType::kF32, {{-1, "n"}});
  const ValueId ids = graph.add_input("input_ids", DType::kF32, {{-1, "n"}});
  const ValueId frames = builder.op("Relu", {sound}, {}, "a");
  const ValueId embedded = builder.op("Relu", {ids}, {}, "b");
  const ValueId embeds = builder.op("Add", {frames, embedded}, {}, "inputs_embeds");
  builder.op("Relu", {embeds}, {}, "c");
  EXPECT_EQ(site_axis(graph, "a"), SiteAxis::kAudio);
  EXPECT_EQ(site_axis(graph, "c"), SiteAxis::kPositions);
  EXPECT_THROW(site_axis(graph, "b"), Error);
}

}  // namespace
}  // namespace retune
