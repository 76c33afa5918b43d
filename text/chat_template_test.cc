#include "text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tensor/error.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kChatMl =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
    "'\\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

std::vector<Turn> turns_from(const json& messages) {
  std::vector<Turn> turns;
  for (const json& message : messages) {
    Turn turn{message["role"].get<std::string>(), {}};
    for (const json& part : message["content"]) {
      turn.content.push_back(part["type"] == "audio" ? ContentPart::clip()
                                                     : ContentPart::of(part["text"].get<std::string>()));
    }
    turns.push_back(turn);
  }
  return turns;
}

template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    return error.what();
  }
  return "no error";
}

std::string recognise_error(std::string_view jinja) {
  return error_of([&] { ChatTemplate::from_jinja(jinja, "", "", "tokenizer_config.json"); });
}

// A bundle's folder with the given files.
class BundleFolder : public testing::Test {
 protected:
  BundleFolder() {
    folder_ = fs::path(testing::TempDir()) /
              (std::string("retune-chat-") + testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~BundleFolder() override { fs::remove_all(folder_); }
  void write(const std::string& name, const std::string& text) const { std::ofstream(folder_ / name) << text; }

  fs::path folder_;
};

TEST(ChatTemplate, RendersAsHuggingFacesJinjaDoes) {
  const json golden = json::parse(std::ifstream("tests/golden/chat_template/cases.json"));
  ASSERT_EQ(golden["cases"].size(), 5u);
  for (const json& entry : golden["cases"]) {
    const auto jinja = entry["jinja"].get<std::string>();
    const ChatTemplate chat =
        ChatTemplate::from_jinja(jinja, "<|begin_of_text|>", "<|audio|>", "tokenizer_config.json");
    for (std::size_t i = 0; i < golden["conversations"].size(); ++i) {
      const json& conversation = golden["conversations"][i];
      const RenderOptions options{.add_generation = conversation["add_generation_prompt"].get<bool>()};
      EXPECT_EQ(chat.render(turns_from(conversation["messages"]), options), entry["prompts"][i].get<std::string>())
          << entry["name"] << " " << i;
    }
  }
}

TEST(ChatTemplate, SaysHowItWasRecognisedAndWhatEndsATurn) {
  const ChatTemplate known = ChatTemplate::from_jinja(kChatMl, "", "<|audio|>", "model/tokenizer_config.json");
  EXPECT_EQ(known.origin(), "tokenizer_config.json: ChatML, known by its hash");
  EXPECT_THAT(known.end_of_turn(), ElementsAre("<|im_end|>"));
  const ChatTemplate similar = ChatTemplate::from_jinja(std::string(kChatMl) + " ", "", "<|audio|>", "x.jinja");
  EXPECT_EQ(similar.origin(), "x.jinja: ChatML, recognised by its marks");
}

TEST(ChatTemplate, PinsTheDateUnlessTold) {
  const json golden = json::parse(std::ifstream("tests/golden/chat_template/cases.json"));
  for (const json& entry : golden["cases"]) {
    if (entry["name"] != "llama31") continue;
    const ChatTemplate chat = ChatTemplate::from_jinja(entry["jinja"].get<std::string>(), "", "", "t");
    EXPECT_EQ(chat.layout().date, "4 Jul 2025");
    EXPECT_THAT(chat.render({Turn::user("x")}, {.date = "1 Jan 2000"}), HasSubstr("Today Date: 1 Jan 2000\n"));
  }
}

TEST(ChatTemplate, RefusesTemplatesItDoesNotKnow) {
  EXPECT_THAT(recognise_error("{{ messages[0].content }}"), HasSubstr("retune_chat_template"));
  EXPECT_THAT(recognise_error(std::string(kChatMl) + "{% if enable_thinking %}{% endif %}"),
              HasSubstr("not one that is known"));
  EXPECT_THAT(recognise_error("<|im_start|>user<|im_sep|><|im_end|>"), HasSubstr("not one that is known"));
}

TEST(ChatTemplate, AHandWrittenLayoutGathersAndNumbersClips) {
  const ChatTemplate chat = ChatTemplate::from_json(
      R"({"begin": "<s>", "user": "USER: {audio}{user}\n", "assistant": "A: {assistant}</s>", "generation": "ASSISTANT:",
          "audio": "<Speech{n}>", "end_of_turn": ["</s>"]})",
      "recipe");
  EXPECT_EQ(chat.render({Turn::user({ContentPart::of("Is {audio} it? "), ContentPart::clip()}),
                         Turn::assistant("No {n}"), Turn::user({ContentPart::clip(), ContentPart::of("And?")})}),
            "<s>USER: <Speech1>Is {audio} it? \nA: No {n}</s>USER: <Speech2>And?\nASSISTANT:");
}

TEST(ChatTemplate, RefusesLayoutsAndConversationsThatDoNotFit) {
  EXPECT_THAT(error_of([] { ChatTemplate::from_json(R"({"usr": "{user}"})", "recipe"); }),
              HasSubstr("unknown field \"usr\""));
  EXPECT_THAT(error_of([] { ChatTemplate::from_json(R"({"user": "USER:"})", "recipe"); }),
              HasSubstr("'user' must hold {user}"));
  EXPECT_THAT(error_of([] { ChatTemplate::from_json(R"({"trim": "yes"})", "recipe"); }), HasSubstr("'trim'"));
  const ChatTemplate text_only = ChatTemplate::from_jinja(kChatMl, "", "", "t");
  EXPECT_THAT(error_of([&] { text_only.render({Turn::user({ContentPart::clip()})}); }),
              HasSubstr("no place for sound"));
  EXPECT_THAT(error_of([&] {
                text_only.render({Turn::user("a"), Turn::system("b")});
              }),
              HasSubstr("turn 1 has the role \"system\""));
  EXPECT_THAT(error_of([&] { text_only.render({Turn{"tool", {}}}); }), HasSubstr("role \"tool\""));
  EXPECT_THAT(error_of([&] {
                text_only.render({Turn{"assistant", {ContentPart::clip()}}});
              }),
              HasSubstr("expected it in a user's"));
}

TEST_F(BundleFolder, TemplatesAreFoundWhereBundlesKeepThem) {
  EXPECT_THAT(error_of([&] { ChatTemplate::find(folder_); }), HasSubstr("no chat template"));
  write("tokenizer_config.json", json{{"chat_template", kChatMl}, {"bos_token", {{"content", "<s>"}}}}.dump());
  write("processor_config.json", R"({"audio_placeholder": "<|sound|>"})");
  const ChatTemplate chat = ChatTemplate::find(folder_);
  EXPECT_EQ(chat.render({Turn::user({ContentPart::clip()})}, {.add_generation = false}),
            "<|im_start|>user\n<|sound|><|im_end|>\n");

  write("tokenizer_config.json", json{{"chat_template", {{{"name", "default"}, {"template", kChatMl}}}}}.dump());
  EXPECT_EQ(ChatTemplate::find(folder_).origin(), "tokenizer_config.json: ChatML, known by its hash");

  write("chat_template.jinja",
        std::string("{{ bos_token }}<|start_header_id|>{{ role }}<|end_header_id|>{{ c | trim }}<|eot_id|>"));
  EXPECT_EQ(ChatTemplate::find(folder_).origin(), "chat_template.jinja: Llama-3, recognised by its marks");

  write("processor_config.json", R"({"audio_token": "<a>", "retune_chat_template": {"user": "[{user}]"}})");
  EXPECT_EQ(ChatTemplate::find(folder_).render({Turn::user({ContentPart::clip(), ContentPart::of("x")})}), "[<a>x]");
}

TEST_F(BundleFolder, TornFilesAreNamed) {
  write("tokenizer_config.json", "{\"chat_template\": ");
  EXPECT_THAT(error_of([&] { ChatTemplate::find(folder_); }), HasSubstr("tokenizer_config.json: not valid JSON"));
  write("tokenizer_config.json", R"({"chat_template": 3})");
  EXPECT_THAT(error_of([&] { ChatTemplate::find(folder_); }), HasSubstr("'chat_template': expected text"));
}

}  // namespace
}  // namespace retune
