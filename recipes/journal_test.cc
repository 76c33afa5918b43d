#include "recipes/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "facts/json_text.h"
#include "tensor/error.h"

namespace retune {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const ContentHash kStudy = ContentHash::of("a study");

std::filesystem::path fresh_path() {
  std::filesystem::path path =
      testing::TempDir() + testing::UnitTest::GetInstance()->current_test_info()->name() + ".jsonl";
  std::filesystem::remove(path);
  return path;
}

void put(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

std::string refused(const std::filesystem::path& path, const ContentHash& study = kStudy) {
  try {
    Journal::open(path, study);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

std::string three_entries(const std::filesystem::path& path) {
  Journal journal = Journal::open(path, kStudy);
  for (const char* entry : {R"({"cell":1})", R"({"cell":2,"text":"ä \" }"})", R"([3])"}) journal.append(entry);
  return read_text(path);
}

TEST(Journal, CrcIsThatOfIeee8023) {
  EXPECT_EQ(crc32("123456789"), 0xCBF43926U);  // the check value of the standard's catalogue
  EXPECT_EQ(crc32(""), 0U);
}

TEST(Journal, KeepsEntriesInOrder) {
  const auto path = fresh_path();
  three_entries(path);
  EXPECT_THAT(Journal::open(path, kStudy).entries(),
              ElementsAre(R"({"cell":1})", R"({"cell":2,"text":"ä \" }"})", R"([3])"));
}

TEST(Journal, EveryLineIsJson) {
  const auto path = fresh_path();
  const auto lines = parse_json_lines(three_entries(path), "journal");
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_EQ(lines[0].value.at("entry").at("study"), kStudy.hex());
  EXPECT_EQ(lines[3].value.at("entry").at(0), 3);
}

// Killed at any moment: whatever the length of the file, the whole lines before it are read, and appending what is
// missing ends with the same bytes.
TEST(Journal, ATornLastLineIsDroppedWhereverItWasTorn) {
  const auto path = fresh_path();
  const std::string whole = three_entries(path);
  for (std::size_t length = 0; length < whole.size(); length += 5) {
    put(path, whole.substr(0, length));
    Journal journal = Journal::open(path, kStudy);
    const auto lines =
        static_cast<std::size_t>(std::count(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length), '\n'));
    ASSERT_EQ(journal.entries().size(), lines == 0 ? 0 : lines - 1) << length;
    const char* entries[] = {R"({"cell":1})", R"({"cell":2,"text":"ä \" }"})", R"([3])"};
    for (std::size_t i = journal.entries().size(); i < 3; ++i) journal.append(entries[i]);
    ASSERT_EQ(read_text(path), whole) << length;
  }
}

TEST(Journal, ALastLineOfZerosIsDropped) {
  const auto path = fresh_path();
  std::string whole = three_entries(path);
  const std::size_t last = whole.rfind('\n', whole.size() - 2) + 1;
  std::fill(whole.begin() + static_cast<std::ptrdiff_t>(last) + 5, whole.end() - 1, '\0');
  put(path, whole);
  EXPECT_EQ(Journal::open(path, kStudy).entries().size(), 2U);
}

TEST(Journal, DamageInTheMiddleIsRefused) {
  const auto path = fresh_path();
  const std::string whole = three_entries(path);
  const std::size_t second = whole.find('\n') + 1;
  for (const std::size_t at : {second + 10, second + 20, second + 28}) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    put(path, damaged);
    EXPECT_THAT(refused(path), HasSubstr("line 2"));
    EXPECT_EQ(read_text(path), damaged) << "it must be left as it is";
  }
}

TEST(Journal, AnotherStudyIsRefused) {
  const auto path = fresh_path();
  three_entries(path);
  EXPECT_THAT(refused(path, ContentHash::of("another study")), HasSubstr("another study"));
}

TEST(Journal, AnotherStudyThatMakesWayIsBegunAnew) {
  const auto path = fresh_path();
  const std::string before = three_entries(path);
  const ContentHash other = ContentHash::of("another study");
  std::size_t seen = 0;
  const auto answer = [&](bool way) {
    return [&seen, way](const std::vector<std::string>& entries) {
      seen = entries.size();
      return way;
    };
  };
  EXPECT_THROW(Journal::open(path, other, answer(false)), Error);
  EXPECT_EQ(read_text(path), before) << "it must be left as it is";
  EXPECT_THAT(Journal::open(path, kStudy, answer(true)).entries(), testing::SizeIs(3)) << "its own is never asked";
  Journal::open(path, other, answer(true)).append("[4]");
  EXPECT_EQ(seen, 3U);
  EXPECT_THAT(Journal::open(path, other).entries(), ElementsAre("[4]"));
}

TEST(Journal, AFileThatIsNoJournalIsLeftAlone) {
  const auto path = fresh_path();
  put(path, "my diary");
  EXPECT_THAT(refused(path), HasSubstr("no journal"));
  EXPECT_EQ(read_text(path), "my diary");
}

TEST(Journal, TwoProcessesCannotShareOne) {
  const auto path = fresh_path();
  const Journal journal = Journal::open(path, kStudy);
  EXPECT_THAT(refused(path), HasSubstr("another process"));
}

TEST(Journal, AFolderThatIsNotThereIsAUserError) {
  EXPECT_THAT(refused(std::filesystem::path(testing::TempDir()) / "no such folder" / "journal.jsonl"),
              HasSubstr("journal.jsonl"));
}

}  // namespace
}  // namespace retune
