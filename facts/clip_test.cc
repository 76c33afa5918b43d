#include "facts/clip.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "facts/json_text.h"

namespace retune {
namespace {

namespace fs = std::filesystem;

fs::path make_root(const std::string& name) {
  const fs::path root = fs::path(testing::TempDir()) / name;
  fs::remove_all(root);
  fs::create_directories(root / "audio" / "Animal");
  write_text(root / "audio" / "Animal" / "cow.wav", "moo");
  write_text(root / "audio" / "flat.wav", "flat");
  write_text(root / "secret.wav", "secret");
  return root;
}

TEST(Clip, LiesInTheFolderOfItsTrackOrFlat) {
  const fs::path audio = make_root("clip_tracks") / "audio";
  const Clip cow = Clip::below(audio, "Animal", "cow.wav");
  EXPECT_EQ(cow.name(), "Animal/cow.wav");
  EXPECT_EQ(cow.file(), "cow.wav");
  EXPECT_EQ(cow.locate(), audio / "Animal" / "cow.wav");
  EXPECT_EQ(cow.hash(), ContentHash::of("moo"));
  EXPECT_EQ(Clip::below(audio, "Animal", "Animal/cow.wav"), cow);
  EXPECT_EQ(Clip::below(audio, "", "Animal/./cow.wav").locate(), cow.locate());
  EXPECT_EQ(Clip::below(audio, "Animal", "flat.wav").locate(), audio / "flat.wav");
}

TEST(Clip, NeverLeavesTheRoot) {
  for (const char* file :
       {"../secret.wav", "/etc/passwd", "a/../../secret.wav", "a\\b.wav", "", ".", "a/", "a\nb.wav"}) {
    EXPECT_THROW(Clip::below("audio", "Animal", file), Error) << file;
  }
  EXPECT_THROW(Clip::below("audio", "../x", "secret.wav"), Error);
  EXPECT_THROW(Clip::below("audio", "/x", "secret.wav"), Error);
}

TEST(Clip, ALinkMayStayInsideTheRootButNotLeaveIt) {
  const fs::path audio = make_root("clip_links") / "audio";
  fs::create_symlink(audio / "Animal" / "cow.wav", audio / "inside.wav");
  fs::create_symlink(audio.parent_path() / "secret.wav", audio / "outside.wav");
  EXPECT_EQ(Clip::below(audio, "", "inside.wav").hash(), ContentHash::of("moo"));
  try {
    Clip::below(audio, "", "outside.wav").locate();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    EXPECT_THAT(error.what(), testing::HasSubstr("leaves the audio root"));
  }
  EXPECT_EQ(Clip::at(audio / "outside.wav").hash(), ContentHash::of("secret"));
}

TEST(Clip, AMissingFileNamesThePlacesLookedAt) {
  const Clip clip = Clip::below("no/such/root", "Animal", "cow.wav");
  EXPECT_FALSE(clip.exists());
  try {
    clip.locate();
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(
        error.what(),
        "clip 'Animal/cow.wav' not found: expected a file at no/such/root/Animal/cow.wav or no/such/root/cow.wav; "
        "see --audio_root");
  }
  EXPECT_THROW(Clip().locate(), Error);
}

}  // namespace
}  // namespace retune
