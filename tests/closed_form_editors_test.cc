// MEMIT, AlphaEdit, EMMET and UltraEdit on a whole model (methods.md 5.8-5.10, end of 5; T1, T2, T4-T7).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "adapters/patch_arithmetic.h"
#include "adapters/patch_memory.h"
#include "audio/waveform.h"
#include "editors/mechanisms/closed_form.h"
#include "editors/mechanisms/locate.h"
#include "editors/registry.h"
#include "learning/site_weight.h"
#include "tensor/error.h"
#include "tests/tiny_bundle.h"

namespace retune {
namespace {

constexpr const char* kFirst = "decoder.block.1.mlp.down";
constexpr const char* kSecond = "decoder.block.2.mlp.down";

class ClosedForm : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new ScratchFolder;
    write_tiny_bundle(*scratch_ / "bundle");
    for (const auto& [name, hertz] : {std::pair{"moo.wav", 180.0}, {"mew.wav", 700.0}, {"arf.wav", 400.0}})
      save_waveform(*scratch_ / name, tone(hertz));
  }
  static void TearDownTestSuite() {
    delete scratch_;
    scratch_ = nullptr;
  }

  static EditRequest request(const std::string& sound = "moo.wav", const std::string& new_label = "cat") {
    return {
        sound,     "Animal",     Clip::below(scratch_->path(), "", sound), kTinyQuestion, {"cow", "cat", "dog"}, "cow",
        new_label, Scope::kLabel};
  }
  static std::vector<EditRequest> three() {
    return {request("moo.wav", "cat"), request("mew.wav", "dog"), request("arf.wav", "cow")};
  }
  static Corpus corpus() {
    std::vector<CorpusItem> items;
    for (const char* sound : {"moo.wav", "mew.wav"})
      for (const char* answer : {"cow", "cat", "dog"})
        items.push_back({Clip::below(scratch_->path(), "", sound), kTinyQuestion, answer, "Animal", ""});
    items.push_back({std::nullopt, kTinyTextQuestion, "elephant", "", ""});
    return Corpus(std::move(items));
  }
  // Target vectors of a few steps that go far, on the bare request alone.
  static Settings settings(const Settings& more = Settings::object()) {
    Settings all = {{"site", kSecond},
                    {"layers", 2},
                    {"context_mode", "none"},
                    {"target_steps", 5},
                    {"target_clamp", 50.0},
                    {"target_stop_loss", 0.0},
                    {"target_learning_rate", 0.05}};
    all.update(more);
    return all;
  }

  Patch edit(const std::string& method, const Settings& how, std::span<const EditRequest> requests,
             const Bundle& bundle) {
    const auto editor = make_editor(method, how);
    const Corpus data = corpus();
    return editor->edit(session_, bundle, requests, editor->prepare(session_, bundle, &data), Rng(5));
  }
  Patch edit(const std::string& method, const Settings& how) {
    const EditRequest one = request();
    return edit(method, how, {&one, 1}, base_);
  }
  static Bundle with(const Bundle& bundle, Patch patch) {
    return bundle.with(std::make_shared<const Patch>(std::move(patch)));
  }

  Matrix moment(const std::string& site) {
    const SecondMoment measured = measure_second_moment(session_, base_, base_.site(site), corpus(), {});
    return {measured.width, measured.width, measured.matrix()};
  }
  // At the last prompt position, bare.
  SiteReading reading(const Bundle& bundle, const std::string& site, const EditRequest& what) {
    return read_site(session_, bundle, base_.site(site), parse_selector("last_prompt"),
                     view_prompt(session_, base_, what.question, sound_of(what)));
  }
  double nll(const Bundle& bundle, const EditRequest& what) {
    AnswerOptions options;
    options.max_new_tokens = 0;
    options.expected = what.new_label;
    return answer(session_, bundle, prompt_for(session_, bundle, what.question, sound_of(what)), options).forced_nll;
  }

  static ScratchFolder* scratch_;
  Session session_{SessionOptions{.threads = 2}};
  Bundle base_ = Bundle::open(*scratch_ / "bundle");
};
ScratchFolder* ClosedForm::scratch_ = nullptr;

Matrix matrix_of(const TensorDelta& delta) {
  const Tensor values = materialise(delta);
  return {values.shape()[0], values.shape()[1], values.to_f64()};
}
Matrix column_of(const std::vector<double>& values) { return {static_cast<std::int64_t>(values.size()), 1, values}; }
double norm(const Matrix& a) {
  double total = 0;
  for (const double item : a.values) total += item * item;
  return std::sqrt(total);
}
double distance(const Matrix& a, const Matrix& b) { return norm(sum(a, scaled(b, -1))); }

const std::vector<std::string> kSpread = {"memit", "alphaedit", "emmet"};

TEST_F(ClosedForm, NothingToDoIsTheIdentity) {
  for (const std::string& method : kSpread) {
    EXPECT_TRUE(same_parameters(base_, with(base_, edit(method, settings(), {}, base_)))) << method;
    for (const Settings& none : {Settings{{"target_steps", 1}}, Settings{{"target_learning_rate", 0.0}}}) {
      const Patch patch = edit(method, settings(none));
      EXPECT_TRUE(patch.deltas.empty()) << method;
      EXPECT_TRUE(same_parameters(base_, with(base_, patch))) << method;
    }
  }
  EXPECT_TRUE(edit("ultraedit", {{"learning_rate", 0.0}}).deltas.empty());
}

TEST_F(ClosedForm, EditsOnEditsComeOffInReverse) {
  const auto requests = three();
  std::vector<Bundle> stack = {base_};
  for (const std::string method : {"memit", "alphaedit", "emmet", "ultraedit", "alphaedit", "ultraedit"})
    stack.push_back(
        with(stack.back(), edit(method, method == "ultraedit" ? Settings{{"learning_rate", 1e-3}} : settings(),
                                std::span(requests).first(2), stack.back())));
  EXPECT_FALSE(same_parameters(stack.back(), base_));
  for (std::size_t i = stack.size() - 1; i > 0; --i)
    EXPECT_TRUE(same_parameters(stack[i].without_top(), stack[i - 1])) << i;
}

TEST_F(ClosedForm, OnlyTheNamedLayersMove) {
  for (const std::string& method : kSpread) {
    const Bundle edited = with(base_, edit(method, settings()));
    EXPECT_THAT(edited.view().edited(),
                testing::UnorderedElementsAre(base_.site(kFirst).weight, base_.site(kSecond).weight))
        << method;
  }
  // As many as there are blocks before the last, and no more.
  EXPECT_EQ(make_editor("memit", settings({{"layers", 10}}))->sites(base_).size(), 3U);
  EXPECT_EQ(make_editor("memit", settings({{"site", "connector.1"}}))->sites(base_).size(), 1U);
}

TEST_F(ClosedForm, OneRequestAndOneLayerWriteTheShareThatMemitSays) {
  const Patch patch = edit("memit", settings({{"layers", 1}, {"ridge", 0.0}}));
  ASSERT_EQ(patch.deltas.size(), 1U);
  EXPECT_EQ(numerical_rank(patch.deltas[0]), 1);
  const Matrix key = column_of(reading(base_, kSecond, request()).key);
  const PreservedKeys preserved(moment(kSecond), 0, kSecond);
  const double s = trace(product(transpose(key), preserved.solve(key))), lambda = 1.4 * 24;
  const Matrix written = product(matrix_of(patch.deltas[0]), key);
  EXPECT_NEAR(norm(written) / patch.notes.at("target_norm")[0], s / (lambda + s), 1e-4);
  // And the residual stream of the edited model has moved by that much.
  const std::string end = "decoder.block.2.residual";
  const Matrix moved = sum(column_of(reading(with(base_, patch), end, request()).value),
                           scaled(column_of(reading(base_, end, request()).value), -1));
  EXPECT_LT(distance(moved, written), 1e-3 * norm(written));
  EXPECT_NEAR(patch.notes.at("missing")[1] / patch.notes.at("missing")[0], lambda / (lambda + s), 1e-3);
}

TEST_F(ClosedForm, LaterLayersSeeTheKeysOfTheEditedModel) {
  const auto requests = three();
  const Patch patch = edit("memit", settings({{"lambda", 0.05}}), requests, base_);
  ASSERT_EQ(patch.deltas.size(), 2U);
  // The second layer's change lies in the span of lambda C + K K^T inverse times the keys that it had by then.
  Patch first = patch;
  first.deltas.resize(1);
  const Bundle halfway = with(base_, first);
  Matrix fresh(24, 0), stale(24, 0), missing(16, 0);
  for (const EditRequest& what : requests) {
    fresh = beside(fresh, column_of(reading(halfway, kSecond, what).key));
    stale = beside(stale, column_of(reading(base_, kSecond, what).key));
  }
  EXPECT_GT(distance(fresh, stale), 1e-3 * norm(fresh)) << "the toy must tell them apart";
  const PreservedKeys preserved(moment(kSecond), 1e-6, kSecond);
  const double lambda = 0.05 * 24;
  const Matrix d = matrix_of(patch.deltas[1]);
  // D (lambda C + K K^T) = R K^T has its rows in the span of K: what is left of it outside must vanish.
  const auto outside = [&](const Matrix& keys) {
    const Matrix rk = product(d, sum(scaled(preserved.matrix(), lambda), product(keys, transpose(keys))));
    const Matrix projector = product(keys, transpose(narrow_solve(keys, keys, 0)));
    return distance(rk, product(rk, projector)) / norm(rk);
  };
  EXPECT_LT(outside(fresh), 1e-3);
  EXPECT_GT(outside(stale), 3 * outside(fresh));
}

TEST_F(ClosedForm, ABatchIsWrittenWhateverItsOrder) {
  std::vector<EditRequest> requests = three();
  for (const auto& [method, strong] : std::map<std::string, Settings>{{"memit", {{"lambda", 0.01}}},
                                                                      {"alphaedit", {{"l2", 0.001}, {"tau", 0.5}}},
                                                                      {"emmet", {{"layers", 1}, {"epsilon", 0.0}}}}) {
    const Settings own = settings(strong);
    const Patch patch = edit(method, own, requests, base_);
    const Bundle edited = with(base_, patch);
    double before = 0, after = 0;
    for (const EditRequest& what : requests) {
      before += nll(base_, what);
      after += nll(edited, what);
    }
    EXPECT_LT(after, before) << method;
    std::reverse(requests.begin(), requests.end());
    const Patch turned = edit(method, own, requests, base_);
    ASSERT_EQ(turned.deltas.size(), patch.deltas.size()) << method;
    for (std::size_t i = 0; i < patch.deltas.size(); ++i)
      EXPECT_LT(distance(matrix_of(patch.deltas[i]), matrix_of(turned.deltas[i])),
                1e-4 * norm(matrix_of(patch.deltas[i])))
          << method << " layer " << i;
  }
}

TEST_F(ClosedForm, EmmetWithoutSlackIsRomeForOneBareRequest) {
  Settings rome = settings({{"second_moment", "corpus"}, {"target_decay", 0.0}});
  rome.erase("layers");
  const Matrix of_rome = matrix_of(edit("rome", rome).deltas.at(0));
  const Patch emmet = edit("emmet", settings({{"layers", 1}, {"epsilon", 0.0}, {"target_decay", 0.0}}));
  EXPECT_LT(distance(matrix_of(emmet.deltas.at(0)), of_rome), 1e-3 * norm(of_rome));
  EXPECT_LT(emmet.notes.at("missing")[1], 1e-3 * emmet.notes.at("missing")[0]) << "every value is met";
}

TEST_F(ClosedForm, AlphaEditKeepsToTheNullSpaceAndRemembersItsKeys) {
  const auto requests = three();
  const Settings how = settings({{"tau", 0.05}});
  const auto editor = make_editor("alphaedit", how);
  const Corpus data = corpus();
  const Prepared prepared = editor->prepare(session_, base_, &data);
  const Patch patch = editor->edit(session_, base_, std::span(requests).first(2), prepared, Rng(5));
  const Bundle edited = with(base_, patch);
  for (const TensorDelta& delta : patch.deltas) {
    SCOPED_TRACE(delta.site);
    const NullSpace& free = prepared.null_spaces.at(delta.site);
    const Matrix d = matrix_of(delta), p = product(free.basis, transpose(free.basis));
    EXPECT_LT(distance(product(d, p), d), 1e-5 * norm(d));
    EXPECT_LE(trace(product(product(d, moment(delta.site)), transpose(d))),
              (free.limit + 1e-6) * norm(d) * norm(d) * (1 + 1e-4));
    // The keys of the finished edit.
    const std::vector<Tensor> keys = remembered(edited.view(), "alphaedit/keys/" + delta.site);
    ASSERT_EQ(keys.size(), 1U);
    ASSERT_EQ(keys[0].shape(), (Shape{2, 24}));
    const std::vector<double> values = keys[0].to_f64();
    for (std::size_t i = 0; i < 2; ++i) {
      const std::vector<double> now = reading(edited, delta.site, requests[i]).key;
      for (std::size_t d2 = 0; d2 < now.size(); ++d2) EXPECT_NEAR(values[i * 24 + d2], now[d2], 1e-4);
    }
  }
  // The second edit is held to the first one's keys: it moves them less than without the memory.
  Patch forgetful = patch;
  forgetful.memory.clear();
  const auto moved = [&](const Patch& beneath) {
    const Bundle model = with(base_, beneath);
    const Patch next = editor->edit(session_, model, std::span(requests).last(1), prepared, Rng(5));
    double total = 0;
    for (std::size_t i = 0; i < 2; ++i)
      total += norm(product(matrix_of(next.deltas.at(0)), column_of(reading(edited, kFirst, requests[i]).key)));
    return total;
  };
  EXPECT_LT(moved(patch), 0.9 * moved(forgetful));
}

TEST_F(ClosedForm, WhatIsRememberedSurvivesTheSumOfAStack) {
  const auto requests = three();
  Bundle one = with(base_, edit("alphaedit", settings(), std::span(requests).first(1), base_));
  Bundle two = with(one, edit("alphaedit", settings(), std::span(requests).subspan(1, 1), one));
  Patch whole = diff(base_.view(), two.view());
  remember_stack(whole, two.view(), 0);
  const Bundle as_one = with(base_, whole);
  const std::string name = std::string("alphaedit/keys/") + kFirst;
  const std::vector<Tensor> of_two = remembered(two.view(), name), of_one = remembered(as_one.view(), name);
  ASSERT_EQ(of_two.size(), 2U);
  ASSERT_EQ(of_one.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) EXPECT_TRUE(identical(of_two[i], of_one[i]));
  Patch again = diff(base_.view(), as_one.view());
  remember_stack(again, as_one.view(), 0);
  EXPECT_EQ(remembered(with(base_, again).view(), name).size(), 2U);
  EXPECT_TRUE(remembered(two.view(), "keys").empty());
}

TEST_F(ClosedForm, UltraEditNormalisesByAllEditsSoFar) {
  const auto requests = three();
  const Settings how = {{"sites", kSecond}, {"learning_rate", 1e-3}};
  const Patch first = edit("ultraedit", how, std::span(requests).first(1), base_);
  const Bundle edited = with(base_, first);
  EXPECT_LT(nll(edited, requests[0]), nll(base_, requests[0]));
  const std::int64_t tokens =
      remembered(edited.view(), std::string("ultraedit/count/") + kSecond).at(0).data<std::int64_t>()[0];
  EXPECT_EQ(tokens, prompt_for(session_, base_, kTinyQuestion, tone(180)).length() +
                        static_cast<std::int64_t>(target_ids(base_, "cat").size()) - 1);
  // The same request upon a patch that remembers nothing: another change, though the weights are the same.
  Patch forgetful = first;
  forgetful.memory.clear();
  const Matrix with_memory = matrix_of(edit("ultraedit", how, std::span(requests).subspan(1, 1), edited).deltas.at(0));
  const Matrix without =
      matrix_of(edit("ultraedit", how, std::span(requests).subspan(1, 1), with(base_, forgetful)).deltas.at(0));
  EXPECT_GT(distance(with_memory, without), 1e-2 * norm(without));
}

TEST_F(ClosedForm, AnyNumberOfThreadsGivesTheSameBits) {
  const auto requests = three();
  const Corpus data = corpus();
  std::vector<ContentHash> ids;
  for (const int threads : {1, 2, 4}) {
    Session session(SessionOptions{.threads = threads});
    for (const std::string method : {"memit", "alphaedit", "emmet", "ultraedit"}) {
      const auto editor = make_editor(method, method == "ultraedit" ? Settings{{"learning_rate", 1e-3}}
                                                                    : settings({{"context_mode", "audio_aug"}}));
      ids.push_back(editor->edit(session, base_, requests, editor->prepare(session, base_, &data), Rng(5)).id());
    }
  }
  for (std::size_t i = 4; i < ids.size(); ++i) EXPECT_EQ(ids[i], ids[i % 4]) << i;
}

TEST_F(ClosedForm, TheEncoderAndTheConnectorAreEditedToo) {
  for (const auto& [site, layers] : {std::pair{"encoder.block.1.mlp.fc2", 2}, {"connector.1", 1}}) {
    const Settings how = settings({{"site", site}, {"layers", layers}, {"lambda", 0.01}});
    const Patch patch = edit("memit", how);
    EXPECT_EQ(patch.deltas.size(), static_cast<std::size_t>(layers)) << site;
    // The mean over the sound's rows is where it is to be; a single row moves as its own key says.
    EXPECT_LT(patch.notes.at("missing").back(), 0.1 * patch.notes.at("missing").front()) << site;
  }
}

TEST_F(ClosedForm, SeveralSitesAreMeasuredInOnePass) {
  const std::vector<Site> sites = {base_.site(kFirst), base_.site("decoder.block.1.mlp.gate"),
                                   base_.site("decoder.block.1.mlp.up"), base_.site("encoder.block.1.mlp.fc2")};
  const Corpus data = corpus();
  session_.trace(true);
  session_.reset_counters();
  const std::vector<SecondMoment> together = measure_second_moments(session_, base_, sites, data, {});
  const auto executed = session_.counters().executions_by_value;
  EXPECT_EQ(executed.at(base_.site(kFirst).key), static_cast<std::int64_t>(data.items().size()));
  session_.trace(false);
  for (std::size_t s = 0; s < sites.size(); ++s) {
    const SecondMoment alone = measure_second_moment(session_, base_, sites[s], data, {});
    EXPECT_EQ(together[s].identity, alone.identity);
    for (std::size_t c = 0; c < kTokenClasses; ++c) EXPECT_EQ(together[s].classes[c].sum, alone.classes[c].sum);
  }
}

TEST_F(ClosedForm, SitesThatWereInterruptedApartCatchUp) {
  const std::vector<Site> sites = {base_.site(kFirst), base_.site(kSecond)};
  const Corpus data = corpus();
  MomentOptions options{{*scratch_ / "first.checkpoint"}, 100, {}};
  int asked = 0;
  options.go_on = [&] { return ++asked < 3; };
  EXPECT_THROW(measure_second_moments(session_, base_, std::span(sites).first(1), data, options), Error);
  options.checkpoints.push_back(*scratch_ / "second.checkpoint");
  asked = 0;
  EXPECT_THROW(measure_second_moments(session_, base_, sites, data, options), Error);  // the first is at 3 already
  options.go_on = nullptr;
  const std::vector<SecondMoment> resumed = measure_second_moments(session_, base_, sites, data, options);
  for (std::size_t s = 0; s < sites.size(); ++s) {
    EXPECT_FALSE(std::filesystem::exists(options.checkpoints[s]));
    EXPECT_EQ(resumed[s].classes[0].sum, measure_second_moment(session_, base_, sites[s], data, {}).classes[0].sum);
  }
}

Error error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return {ErrorCode::kFailure, ""};
}

TEST_F(ClosedForm, WhatCannotBeIsOneLine) {
  using testing::HasSubstr;
  const auto message = [&](const std::string& method, const Settings& how) {
    const Error error = error_of([&] { edit(method, how); });
    EXPECT_EQ(error.code(), ErrorCode::kUser) << error.what();
    return std::string(error.what());
  };
  EXPECT_THAT(message("memit", settings({{"site", "decoder.block.2.mlp.up"}})),
              HasSubstr("does not write to the residual stream"));
  EXPECT_THAT(message("memit", settings({{"site", "decoder.block.2.residual"}})), HasSubstr("not a linear layer"));
  EXPECT_THAT(message("alphaedit", settings({{"tau_mode", "absolute"}, {"tau", 0.0}})), HasSubstr("raise tau"));
  EXPECT_THAT(message("alphaedit", settings({{"second_moment", "identity"}})), HasSubstr("give a corpus"));
  // Statistics of another model; one file for two layers.
  const std::string file = (*scratch_ / "moment.h5").string();
  SecondMoment other = measure_second_moment(session_, base_, base_.site(kSecond), corpus(), {});
  other.identity.model = ContentHash::of("another model");
  other.save(file);
  EXPECT_THAT(message("alphaedit", settings({{"layers", 1}, {"second_moment", file}})), HasSubstr("of another model"));
  EXPECT_THAT(message("memit", settings({{"second_moment", file}})), HasSubstr("give the folder"));
  EXPECT_THAT(error_of([&] {
                const auto editor = make_editor("memit", settings());
                editor->prepare(session_, base_, nullptr);
              }).what(),
              HasSubstr("needs a corpus"));
  std::vector<EditRequest> many(25, request());
  for (std::size_t i = 0; i < many.size(); ++i) many[i].id = std::to_string(i);
  EXPECT_THAT(error_of([&] {
                edit("emmet", settings({{"layers", 1}, {"target_steps", 1}}), many, base_);
              }).what(),
              HasSubstr("25 requests cannot all be met"));
}

TEST_F(ClosedForm, AFolderOfSecondMomentsServesSeveralLayers) {
  std::filesystem::create_directories(*scratch_ / "moments");
  for (const char* site : {kFirst, kSecond})
    measure_second_moment(session_, base_, base_.site(site), corpus(), {})
        .save(*scratch_ / "moments" / (std::string(site) + ".h5"));
  const Patch measured = edit("memit", settings());
  const Patch read = edit("memit", settings({{"second_moment", (*scratch_ / "moments").string()}}));
  ASSERT_EQ(read.deltas.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i)
    EXPECT_TRUE(identical(materialise(read.deltas[i]), materialise(measured.deltas[i])));
}

}  // namespace
}  // namespace retune
