#include "facts/json_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace retune {
namespace {

using testing::HasSubstr;

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    return error.what();
  }
  return "no error";
}

std::string parse_error(const std::string& text) {
  return error_of([&] { parse_json(text, "f.json"); });
}

TEST(JsonText, SyntaxErrorsHaveLineAndColumn) {
  EXPECT_EQ(parse_error("[1,\n 2,,3]"), "f.json: line 2, column 4: not valid JSON");
  EXPECT_THAT(parse_error("[{\"a\": 1}"), HasSubstr("the text ends here"));
  EXPECT_THAT(parse_error(""), HasSubstr("not valid JSON"));
  EXPECT_THAT(parse_error("[1] 2"), HasSubstr("line 1, column 5"));
  EXPECT_THAT(parse_error("[\"\xff\"]"), HasSubstr("not valid JSON"));
  EXPECT_THAT(parse_error("[1e999]"), HasSubstr("too large for a double"));
}

TEST(JsonText, AKeyMayStandOnlyOnceInAnObject) {
  EXPECT_EQ(parse_error(R"([{"a": 1}, {"a": 1, "b": {"c": 0}, "a": 2}])"),
            "f.json: item 1: key 'a' stands twice in one object; remove one");
  EXPECT_EQ(parse_json(R"([{"a": {"a": 1}}, {"a": 2}])", "f.json").size(), 2u);
  // A recipe's key was said to be in an "item 0", which recipes do not have.
  EXPECT_EQ(parse_error(R"({"a": {"c": 0}, "a": 2})"), "f.json: key 'a' stands twice in one object; remove one");
}

// A NUL ended the message in which its text stood.
TEST(JsonText, ATextMayHoldNoNul) {
  EXPECT_EQ(parse_error(R"({"method": "f\u0000t"})"), "f.json: a text holds a NUL (\\u0000); remove it");
  EXPECT_EQ(parse_error(R"([{}, {"f\u0000t": 1}])"), "f.json: item 1: a text holds a NUL (\\u0000); remove it");
}

TEST(JsonText, DepthAndSizeAreLimited) {
  EXPECT_NO_THROW(parse_json(std::string(16, '[') + std::string(16, ']'), "f.json"));
  EXPECT_THAT(parse_error(std::string(17, '[') + std::string(17, ']')), HasSubstr("nested more than 16 deep"));
  EXPECT_THAT(parse_error(std::string(1'000'000, '[')), HasSubstr("nested more than 16 deep"));
  EXPECT_THAT(error_of([] { parse_json("[1, 2]", "f.json", {.max_bytes = 5}); }),
              HasSubstr("6 bytes, expected at most 5"));
}

TEST(JsonText, LinesAreNumberedAndBlankOnesLeftOut) {
  const std::vector<JsonLine> lines = parse_json_lines("{\"a\":1}\n\n  \r\n{\"a\":2}", "f.jsonl");
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[1].number, 4u);
  EXPECT_EQ(lines[1].value["a"], 2);
  EXPECT_THAT(error_of([] { parse_json_lines("{}\n{", "f.jsonl"); }), HasSubstr("f.jsonl:2: line 1, column 2"));
}

TEST(JsonText, TypedAccessNamesPlaceKeyAndTypes) {
  const nlohmann::json value = nlohmann::json::parse(
      R"({"t": "x", "e": "  ", "n": 3, "f": 1.5, "l": ["a", 1], "o": [{"k": 1}, 2], "z": null, "u": 18446744073709551615})");
  const JsonObject object(value, "f.json: item 3");
  EXPECT_EQ(object.text("t"), "x");
  EXPECT_EQ(object.optional_integer("n"), 3);
  EXPECT_FALSE(object.has("z"));
  EXPECT_EQ(error_of([&] { object.text("missing"); }), "f.json: item 3: missing: missing; expected text");
  EXPECT_EQ(error_of([&] { object.text("n"); }), "f.json: item 3: n: expected text, got number");
  EXPECT_EQ(error_of([&] { object.text("e"); }), "f.json: item 3: e: empty; expected text");
  EXPECT_EQ(error_of([&] { object.optional_integer("f"); }), "f.json: item 3: f: expected an integer, got 1.5");
  EXPECT_THAT(error_of([&] { object.optional_integer("u"); }), HasSubstr("expected an integer"));
  EXPECT_EQ(error_of([&] { object.optional_bool("t"); }), "f.json: item 3: t: expected true or false, got text");
  EXPECT_EQ(error_of([&] { object.text_list("l"); }), "f.json: item 3: l[1]: expected text, got number");
  EXPECT_EQ(error_of([&] { object.objects("o"); }), "f.json: item 3: o[1]: expected an object, got number");
}

TEST(JsonText, ReadingRefusesWhatIsNoRegularFile) {
  EXPECT_THAT(error_of([] { read_text("does/not/exist"); }), HasSubstr("does/not/exist: no such file"));
  EXPECT_THAT(error_of([] { read_text(testing::TempDir()); }), HasSubstr("expected a regular file"));
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) / "json_text_test.txt";
  write_text(path, "12345");
  EXPECT_EQ(read_text(path), "12345");
  EXPECT_THAT(error_of([&] { read_text(path, 4); }), HasSubstr("5 bytes, expected at most 4"));
}

// "expected 5 bytes, got 0" did not say that the file may not be read.
TEST(JsonText, AFileThatMayNotBeReadSaysSo) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) / "json_text_unreadable.txt";
  write_text(path, "12345");
  std::filesystem::permissions(path, std::filesystem::perms::none);
  EXPECT_THAT(error_of([&] { read_text(path); }), HasSubstr("cannot be opened: Permission denied"));
  std::filesystem::remove(path);
}

TEST(JsonText, AFailedWriteLeavesTheOldFileAndNothingElse) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "json_text_folder";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder / "target" / "inner");
  EXPECT_THROW(write_text(folder / "target", "text"),
               Error);  // a folder that is not empty cannot be replaced by a file
  EXPECT_THROW(write_text(folder / "missing" / "file", "text"), Error);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
}

TEST(JsonText, BytesThatAreNoUtf8ArePrintedAsReplacementCharacters) {
  EXPECT_EQ(json_bytes({{"b", "a\xff"}, {"a", 1}}), "{\"b\":\"a\xEF\xBF\xBD\",\"a\":1}");
}

}  // namespace
}  // namespace retune
