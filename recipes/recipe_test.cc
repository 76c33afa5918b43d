#include "recipes/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "editors/registry.h"
#include "facts/json_text.h"
#include "recipes/train_recipe.h"
#include "tensor/error.h"

namespace retune {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// The message of the user error that `action` throws.
template <class Action>
std::string user_error_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

std::string refused(const std::string& text) {
  return user_error_of([&] { Recipe::parse(text, "my.json"); });
}

TEST(Recipe, FillsInWhatIsNotSaid) {
  const Recipe recipe = Recipe::parse(R"({"method": "ft", "settings": {"steps": 3}})", "my.json");
  EXPECT_EQ(recipe.method(), "ft");
  EXPECT_EQ(recipe.settings().at("steps"), 3);
  EXPECT_EQ(recipe.settings().size(), editing_method("ft").settings.size());
  EXPECT_EQ(recipe.mode(), StudyMode::kSingle);
  EXPECT_EQ(recipe.seed(), 1U);
  EXPECT_FALSE(recipe.model());
  EXPECT_FALSE(recipe.scope());
  EXPECT_EQ(recipe.decoding().max_new_tokens, AskSettings{}.max_new_tokens);
  EXPECT_EQ(recipe.metrics().judges, MetricOptions{}.judges);
  EXPECT_EQ(recipe.metrics().bootstrap_samples, MetricOptions{}.bootstrap_samples);
  EXPECT_TRUE(recipe.require().empty());
}

TEST(Recipe, ResolvedReadsBackAsItself) {
  const Recipe recipe =
      Recipe::parse(R"({"method": "rome", "model": "m", "mode": "sequential", "gaps": 2, "scope": "clip", "seed": 9,
                        "metrics": {"judges": "J3"}, "require": {"reliability": 1, "text_locality": 0.98}})",
                    "my.json");
  EXPECT_EQ(recipe.mode(), StudyMode::kSequential);
  EXPECT_EQ(recipe.scope(), Scope::kClip);
  EXPECT_EQ(recipe.metrics().judges, std::vector<Judge>{Judge::kExactMatch});
  EXPECT_EQ(recipe.require(), (std::map<std::string, double>{{"reliability", 1.0}, {"text_locality", 0.98}}));
  EXPECT_EQ(Recipe::parse(recipe.resolved().dump(), "again").resolved(), recipe.resolved());
}

TEST(Recipe, AMisspeltKeyNamesTheNearestRightOne) {
  EXPECT_THAT(refused(R"({"method": "ft", "sead": 1})"),
              AllOf(HasSubstr("my.json"), HasSubstr("'sead'"), HasSubstr("'seed'")));
  EXPECT_THAT(refused(R"({"metod": "ft"})"), AllOf(HasSubstr("'metod'"), HasSubstr("'method'")));
  EXPECT_THAT(refused(R"({"method": "ft", "settings": {"learning_rat": 1}})"),
              AllOf(HasSubstr("settings"), HasSubstr("'learning_rat'"), HasSubstr("'learning_rate'")));
  EXPECT_THAT(refused(R"({"method": "rme"})"), AllOf(HasSubstr("'rme'"), HasSubstr("'rome'")));
  EXPECT_THAT(refused(R"({"method": "ft", "require": {"realiability": 1}})"),
              AllOf(HasSubstr("require"), HasSubstr("'reliability'")));
  EXPECT_THAT(refused(R"({"method": "ft", "decoding": {"max_tokens": 1}})"), HasSubstr("'max_new_tokens'"));
}

TEST(Recipe, AWrongTypeOrRangeNamesKeyAndWhatIsExpected) {
  EXPECT_THAT(refused(R"({"method": "ft", "settings": {"steps": "many"}})"),
              AllOf(HasSubstr("'steps'"), HasSubstr("integer")));
  EXPECT_THAT(refused(R"({"method": "ft", "settings": {"steps": 1.5}})"), HasSubstr("'steps'"));
  EXPECT_THAT(refused(R"({"method": "ft", "seed": -1})"), AllOf(HasSubstr("'seed'"), HasSubstr("at least 0")));
  EXPECT_THAT(refused(R"({"method": "ft", "require": {"reliability": 2}})"), HasSubstr("at most 1"));
  EXPECT_THAT(refused(R"({"method": "ft", "mode": "singel"})"), HasSubstr("'single'"));
  EXPECT_THAT(refused(R"({"method": "ft", "metrics": {"judges": ["J1", "J9"]}})"), HasSubstr("J9"));
  EXPECT_THAT(refused(R"({"method": "ft", "model": null})"), HasSubstr("'model'"));
  EXPECT_THAT(refused(R"({"method": "ft", "decoding": 7})"), AllOf(HasSubstr("decoding"), HasSubstr("object")));
  EXPECT_THAT(refused(R"({"method": 7})"), HasSubstr("'method' must be a text"));
  EXPECT_THAT(refused(R"({"seed": 7})"), HasSubstr("'method' is missing"));
  EXPECT_THAT(refused("[]"), HasSubstr("object"));
  EXPECT_THAT(refused("{"), HasSubstr("my.json"));
  EXPECT_EQ(refused(R"({"method": "ft", "method": "rome"})"),
            "my.json: key 'method' stands twice in one object; remove one");
}

// Given to the other command, a recipe was asked whether 'train' was meant to be 'gaps'.
TEST(Recipe, ARecipeForTheOtherCommandSaysSo) {
  EXPECT_THAT(refused(R"({"train": "lalm"})"), HasSubstr("my.json: this is a training recipe"));
  EXPECT_THAT(refused(R"({"train": "lalm"})"), HasSubstr("give it to retune train"));
  EXPECT_THAT(user_error_of([] { TrainRecipe::parse(R"({"method": "ft"})", "my.json"); }),
              HasSubstr("give it to retune edit"));
}

TEST(Recipe, WithChecksWhatItSets) {
  const Recipe recipe = Recipe::parse(R"({"method": "ft", "settings": {"steps": 3}})", "my.json");
  EXPECT_EQ(recipe.with("seed", 8).seed(), 8U);
  EXPECT_EQ(recipe.with("seed", 8).settings(), recipe.settings());
  EXPECT_EQ(recipe.with("method", "rome").settings().size(), editing_method("rome").settings.size());
  EXPECT_THAT(user_error_of([&] { recipe.with("mode", "all"); }), HasSubstr("'mode'"));
}

// A recipe that names another method, another kind of training or a new key needs the schema printed again.
TEST(RecipeSchema, TheCommittedOneIsCurrent) {
  const std::string current = recipe_schema();
  const std::string scratch = testing::TempDir() + "schema.json";
  write_text(scratch, current);
  EXPECT_EQ(read_text("recipes/schema.json"), current)
      << "print it again: retune methods --schema > recipes/schema.json (or copy " << scratch << ")";
}

TEST(RecipeSchema, HoldsEverySettingOfEveryMethod) {
  const Settings schema = Settings::parse(recipe_schema());
  const Settings& methods = schema.at("else").at("else").at("allOf");
  ASSERT_EQ(methods.size(), editing_methods().size());
  for (std::size_t i = 0; i < methods.size(); ++i) {
    const EditingMethod& method = editing_methods()[i];
    EXPECT_EQ(methods[i].at("if").at("properties").at("method").at("const"), method.info.word);
    const Settings& settings = methods[i].at("then").at("properties").at("settings").at("properties");
    for (const Setting& setting : method.settings) {
      ASSERT_TRUE(settings.contains(setting.name)) << setting.name;
      EXPECT_EQ(settings.at(setting.name).at("default"), setting.fallback);
    }
  }
}

TEST(Recipe, TheExamplesAreSound) {
  for (const char* name : {"ft", "ft-connector", "rome", "r-rome", "ke", "mend"}) {
    const Recipe recipe = Recipe::load(std::string("recipes/") + name + ".json");
    EXPECT_NO_THROW(make_editor(recipe.method(), recipe.settings()));
  }
}

TEST(TrainRecipe, TheDemoModelIsMadeAsItSays) {
  EXPECT_TRUE(is_train_recipe("recipes/demo-lalm.json"));
  EXPECT_FALSE(is_train_recipe("recipes/ft.json"));
  const TrainRecipe recipe = TrainRecipe::load("recipes/demo-lalm.json");
  ASSERT_TRUE(recipe.synth());
  EXPECT_EQ(recipe.synth()->seed, 7U);
  EXPECT_EQ(recipe.synth()->train_clips, 9000);
  EXPECT_EQ(recipe.synth()->test_clips, SynthOptions{}.test_clips);
  const LalmTrainingOptions options = recipe.training();
  EXPECT_EQ(options.seed, 1U);
  EXPECT_EQ(options.hearing.steps, 800);
  EXPECT_EQ(options.hearing.batch, 48);
  EXPECT_DOUBLE_EQ(options.hearing.learning_rate, 1e-3);
  EXPECT_EQ(options.joint.steps, 2000);
  EXPECT_DOUBLE_EQ(options.joint.learning_rate, 6e-4);
  EXPECT_DOUBLE_EQ(options.joint.text_share, 0.4);
  EXPECT_EQ(options.checkpoint_every, 100);
}

TEST(TrainRecipe, FillsInTheDefaultsOfItsStructs) {
  const TrainRecipe recipe = TrainRecipe::parse(R"({"train": "lalm"})", "my.json");
  EXPECT_FALSE(recipe.synth());
  const LalmTrainingOptions defaults;
  const LalmTrainingOptions options = recipe.training();
  EXPECT_EQ(options.hearing.steps, defaults.hearing.steps);
  EXPECT_EQ(options.joint.steps, defaults.joint.steps);
  EXPECT_EQ(options.augment.max_frames, defaults.augment.max_frames);
  EXPECT_EQ(options.shape.hidden, defaults.shape.hidden);
  EXPECT_DOUBLE_EQ(options.shape.rope_theta, defaults.shape.rope_theta);
  EXPECT_EQ(TrainRecipe::parse(recipe.resolved().dump(), "again").resolved(), recipe.resolved());
  EXPECT_EQ(recipe.with("seed", 5).training().seed, 5U);
}

TEST(TrainRecipe, RefusesWhatItDoesNotKnow) {
  const auto refusal = [](const std::string& text) {
    return user_error_of([&] { TrainRecipe::parse(text, "my.json"); });
  };
  EXPECT_THAT(refusal(R"({"train": "lalm", "sinth": {}})"), HasSubstr("'synth'"));
  EXPECT_THAT(refusal(R"({"train": "lalm", "joint": {"step": 1}})"), AllOf(HasSubstr("joint"), HasSubstr("'steps'")));
  EXPECT_THAT(refusal(R"({"train": "lalm", "synth": {"attributes": ["Colour"]}})"), HasSubstr("Colour"));
  EXPECT_THAT(refusal(R"({"train": "lalm", "synth": {"clip_seconds": 90}})"), HasSubstr("at most 30"));
  EXPECT_THAT(refusal(R"({"train": "model"})"), HasSubstr("'lalm'"));
  EXPECT_THAT(refusal(R"({"seed": 1})"), HasSubstr("'train' is missing"));
}

}  // namespace
}  // namespace retune
