#include "editors/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "editors/registry.h"
#include "tensor/error.h"

namespace retune {
namespace {

std::vector<Setting> some() {
  return {{"steps", Setting::Type::kInteger, 15, 0, 100, {}, "steps at most"},
          {"rate", Setting::Type::kNumber, 0.5, 0, {}, {}, "Adam's rate"},
          {"anchor", Setting::Type::kText, "start", {}, {}, {"start", "original"}, "what holds"},
          {"sites", Setting::Type::kTexts, "connector", {}, {}, {}, "where"}};
}

std::string refusal(const Settings& given) {
  try {
    resolve_settings("ft", some(), given);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    return error.what();
  }
  return {};
}

TEST(Settings, WhatIsNotGivenTakesItsDefaultInDeclaredOrder) {
  EXPECT_EQ(resolve_settings("ft", some(), {{"rate", 2}}).dump(),
            R"({"steps":15,"rate":2,"anchor":"start","sites":"connector"})");
}

TEST(Settings, AMisspeltKeyNamesTheNearestRightOne) {
  EXPECT_THAT(refusal({{"setps", 3}}), testing::HasSubstr("did you mean 'steps'"));
}

TEST(Settings, TypeRangeAndChoiceAreChecked) {
  EXPECT_THAT(refusal({{"steps", "many"}}), testing::HasSubstr("setting 'steps' must be an integer, got \"many\""));
  EXPECT_THAT(refusal({{"sites", 3}}), testing::HasSubstr("must be a text or a list of texts"));
  EXPECT_THAT(refusal({{"steps", 1.5}}), testing::HasSubstr("steps"));
  EXPECT_THAT(refusal({{"steps", 101}}), testing::HasSubstr("at most 100"));
  EXPECT_THAT(refusal({{"rate", -1}}), testing::HasSubstr("at least 0"));
  EXPECT_THAT(refusal({{"anchor", "orignal"}}), testing::HasSubstr("did you mean 'original'"));
  EXPECT_THAT(refusal(Settings::array({1})), testing::HasSubstr("object"));
}

TEST(Settings, AWordMayStandForANumber) {
  const std::vector<Setting> radius = {{"radius", Setting::Type::kNumber, "auto", 0, 9, {"auto"}, "how far"}};
  EXPECT_EQ(resolve_settings("grace", radius, Settings::object()).at("radius"), "auto");
  EXPECT_EQ(resolve_settings("grace", radius, {{"radius", 2.5}}).at("radius"), 2.5);
  for (const auto& [value, words] : std::vector<std::pair<Settings, const char*>>{
           {"atuo", "must be a number or one of auto, got \"atuo\"; did you mean 'auto'?"},
           {true, "must be a number, got true"},
           {10, "must be at least 0 and at most 9"}}) {
    try {
      resolve_settings("grace", radius, {{"radius", value}});
      ADD_FAILURE() << value;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr(words));
    }
  }
}

TEST(Settings, AListOfTextsMayBeOneText) {
  EXPECT_THAT(texts_of(resolve_settings("ft", some(), Settings::object()), "sites"), testing::ElementsAre("connector"));
  EXPECT_THAT(texts_of(resolve_settings("ft", some(), {{"sites", {"a", "b"}}}), "sites"),
              testing::ElementsAre("a", "b"));
}

TEST(Registry, EveryMethodTakesItsOwnDefaults) {
  for (const EditingMethod& method : editing_methods()) {
    const auto editor = make_editor(method.info.word, Settings::object());
    EXPECT_EQ(editor->info().word, method.info.word);
    EXPECT_EQ(editor->settings().size(), method.settings.size());
    for (const Setting& setting : method.settings)
      EXPECT_FALSE(setting.meaning.empty()) << method.info.word << " " << setting.name;
  }
}

TEST(Registry, AnUnknownMethodNamesTheNearest) {
  try {
    editing_method("rom");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("did you mean 'rome'"));
  }
}

TEST(Parts, ABlockMayBeNamedByItsPlace) {
  SiteMap map;
  map.blocks = {6, 4, 2};
  EXPECT_EQ(part_in(map, "decoder.block.last.mlp"), "decoder.block.5.mlp");
  EXPECT_EQ(part_in(map, "decoder.block.last-2.mlp.up"), "decoder.block.3.mlp.up");
  EXPECT_EQ(part_in(map, "decoder.block.55%.mlp.down"), "decoder.block.3.mlp.down");
  EXPECT_EQ(part_in(map, "encoder.block.100%"), "encoder.block.3");
  EXPECT_EQ(part_in(map, "decoder.block.2.attn.o"), "decoder.block.2.attn.o");
  EXPECT_EQ(part_in(map, "connector"), "connector");
}

// 300% of the depth was taken for the last block.
TEST(Parts, AShareOfTheDepthIsAtMostTheWhole) {
  SiteMap map;
  map.blocks = {6, 4, 2};
  for (const char* part : {"decoder.block.300%.mlp", "decoder.block.101%", "encoder.block.99999999999%.mlp"}) {
    try {
      part_in(map, part);
      ADD_FAILURE() << part;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUser);
      EXPECT_THAT(error.what(), testing::HasSubstr("expected 0% to 100% of the depth"));
    }
  }
}

}  // namespace
}  // namespace retune
