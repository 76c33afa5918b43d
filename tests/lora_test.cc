// Low-rank adapters against PyTorch, and the invariants of methods.md 5.5 (T1, T2, T10 of its section 11).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>

#include "adapters/tensor_file.h"
#include "lalm/check.h"
#include "learning/low_rank_tuning.h"
#include "learning/site_weight.h"
#include "tensor/error.h"
#include "tests/edit_fixture.h"

namespace retune {
namespace {

using testing::HasSubstr;

// ||a - b|| / ||b|| in the Frobenius norm.
double relative_difference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.shape().text(), b.shape().text());
  double apart = 0, whole = 0;
  for (std::int64_t i = 0; i < b.numel(); ++i) {
    apart += std::pow(static_cast<double>(a.data<float>()[i]) - static_cast<double>(b.data<float>()[i]), 2);
    whole += std::pow(static_cast<double>(b.data<float>()[i]), 2);
  }
  return std::sqrt(apart / whole);
}

Tensor difference(const Tensor& a, const Tensor& b) {
  Tensor result = Tensor::empty(DType::kF32, a.shape());
  for (std::int64_t i = 0; i < a.numel(); ++i)
    result.mutable_data<float>()[i] = a.data<float>()[i] - b.data<float>()[i];
  return result;
}

TEST(LowRankTraining, FactorsAgreeWithPyTorchAfterSomeSteps) {
  const std::string path = "tests/golden/lora/golden.h5";
  if (!std::filesystem::exists("demo/bundle/config.json")) GTEST_SKIP() << "demo/bundle is not here";
  const auto golden = read_tensors(path);
  const Bundle bundle = Bundle::open("demo/bundle");
  Session session({.threads = 2});
  Prompt prompt{golden.at("ids").to_i64(), {}, {golden.at("mel"), {}}};
  const std::int64_t placeholder = bundle.tokenizer().require_id(bundle.placeholder());
  for (std::int64_t i = 0; i < prompt.length(); ++i)
    if (prompt.ids[static_cast<std::size_t>(i)] == placeholder) prompt.audio_rows.push_back(i);
  std::vector<Site> sites;
  LowRankAdapter start;
  for (const auto& [name, a] : golden) {
    if (!name.starts_with("a0/")) continue;
    sites.push_back(bundle.site(name.substr(3)));
    start[sites.back().name] = {a, Tensor::zeros(DType::kF32, {sites.back().out, a.shape()[0]})};
  }
  ASSERT_EQ(sites.size(), 4U);
  const Lesson lesson{prompt, golden.at("target").to_i64(), 1, Objective::kTargetNew};
  const std::vector<double> losses = golden.at("losses").to_f64();
  const LossGraphs paths =
      with_low_rank_paths(loss_graphs(bundle), sites, golden.at("scale").to_f64()[0], PathDropout::kNone);
  const LowRankResult result = tune_low_rank(session, bundle, paths, sites, {lesson}, start,
                                             {.steps = static_cast<std::int64_t>(losses.size())}, Rng(1));
  ASSERT_EQ(result.losses.size(), losses.size());
  for (std::size_t i = 0; i < losses.size(); ++i) EXPECT_NEAR(result.losses[i], losses[i], 1e-4 * losses[i]) << i;
  for (const Site& site : sites) {
    SCOPED_TRACE(site.name);
    const LowRankFactors& learnt = result.adapter.at(site.name);
    EXPECT_LT(relative_difference(learnt.b, golden.at("b/" + site.name)), 1e-3);
    EXPECT_LT(relative_difference(difference(learnt.a, golden.at("a0/" + site.name)),
                                  difference(golden.at("a/" + site.name), golden.at("a0/" + site.name))),
              1e-3);
  }
}

class Lora : public EditFixture {
 protected:
  // A rank that is smaller than every matrix, and few steps that show.
  static Settings settings(const Settings& more = Settings::object()) {
    Settings all = {{"rank", 2}, {"alpha", 4}, {"dropout", 0}, {"steps", 4}, {"learning_rate", 0.02}};
    if (!more.is_null()) all.update(more);
    return all;
  }
  Patch lora(const Settings& more, const Bundle& bundle, const EditRequest& what) {
    return edit("lora", settings(more), bundle, what);
  }
  Patch lora(const Settings& more = Settings::object()) { return lora(more, base_, request()); }

  static std::vector<std::string> sites_of(const Patch& patch) {
    std::vector<std::string> names;
    for (const TensorDelta& delta : patch.deltas) names.push_back(delta.site);
    return names;
  }

  // W0 + factor * B A with the adapter that a patch remembers, in f64.
  std::vector<double> sum_with_adapter(const Patch& patch, const Site& site, double factor) const {
    const Tensor weight = site_master(base_.view(), site);
    const Tensor& a = patch.memory.at("adapter/" + site.name + "/A");
    const Tensor& b = patch.memory.at("adapter/" + site.name + "/B");
    std::vector<double> sum = weight.to_f64();
    for (std::int64_t o = 0; o < site.out; ++o)
      for (std::int64_t i = 0; i < site.in; ++i)
        for (std::int64_t k = 0; k < a.shape()[0]; ++k)
          sum[static_cast<std::size_t>(o * site.in + i)] += factor *
                                                            static_cast<double>(b.data<float>()[o * b.shape()[1] + k]) *
                                                            static_cast<double>(a.data<float>()[k * site.in + i]);
    return sum;
  }
  void expect_base_with_adapter(const Bundle& edited, const Patch& patch, double factor) const {
    for (const char* name : {"decoder.block.0.attn.q", "decoder.block.2.attn.v"}) {
      const Site site = base_.site(name);
      const std::vector<double> expected = sum_with_adapter(patch, site, factor);
      const std::vector<double> now = site_master(edited.view(), site).to_f64();
      for (std::size_t i = 0; i < now.size(); ++i) EXPECT_NEAR(now[i], expected[i], 2e-6) << name << " " << i;
    }
  }

  std::string error_of(const std::function<void()>& action) {
    try {
      action();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUser);
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      return error.what();
    }
    ADD_FAILURE() << "no error";
    return {};
  }
};

TEST_F(Lora, ZeroStrengthIsTheIdentity) {
  for (const Settings& none : std::vector<Settings>{{{"learning_rate", 0.0}},
                                                    {{"steps", 0}},
                                                    {{"alpha", 0}},
                                                    {{"lora_scale_discount", 0}},
                                                    {{"stop_loss", 1e3}}}) {
    const Patch patch = lora(none);
    EXPECT_TRUE(patch.deltas.empty()) << none;
    EXPECT_TRUE(same_parameters(base_, with(base_, patch))) << none;
  }
}

TEST_F(Lora, MovesTheLayersItWasGivenByTheirNamesPattern) {
  const Patch patch = lora({{"sites", {"decoder.block.*.attn.q", "encoder.block.last.mlp", "connector.1"}}});
  EXPECT_THAT(sites_of(patch), testing::UnorderedElementsAre("decoder.block.0.attn.q", "decoder.block.1.attn.q",
                                                             "decoder.block.2.attn.q", "encoder.block.1.mlp.fc1",
                                                             "encoder.block.1.mlp.fc2", "connector.1"));
  const Bundle edited = with(base_, patch);
  for (const TensorDelta& delta : patch.deltas) {
    EXPECT_EQ(form_name(delta), "low-rank") << delta.site;
    EXPECT_LE(*numerical_rank(delta), 2) << delta.site;
  }
  EXPECT_EQ(edited.view().edited().size(), 6U);
  EXPECT_LT(nll(edited, request()), nll(base_, request()));
  EXPECT_NEAR(patch.notes.at("loss")[0], nll(base_, request()), 1e-4);
}

TEST_F(Lora, AnAdapterOfTheConnectorLeavesTextBitIdentical) {
  const Bundle edited = with(base_, lora({{"sites", "connector"}}));
  EXPECT_FALSE(edited.view().edited().empty());
  Session fresh(SessionOptions{.threads = 1});
  EXPECT_TRUE(
      identical(logits_of(session_, base_, text_prompt(), {}, 0), logits_of(fresh, edited, text_prompt(), {}, 0)));
  EXPECT_FALSE(identical(logits_of(session_, base_, prompt(), {}, 0), logits_of(fresh, edited, prompt(), {}, 0)));
}

// The weights with B A added, against the model in which the path stands beside them.
TEST_F(Lora, MergedGivesWhatUnmergedGives) {
  for (const double discount : {1.0, 0.6}) {
    const Patch patch = lora({{"sites", {"decoder.block.*.attn", "connector"}}, {"lora_scale_discount", discount}});
    std::vector<Site> sites;
    for (const TensorDelta& delta : patch.deltas) sites.push_back(base_.site(delta.site));
    ASSERT_EQ(sites.size(), 14U);
    const auto unmerged = std::make_shared<const Graph>(
        with_low_rank_paths(*base_.graph(), sites, 4.0 / 2 * discount, PathDropout::kNone));
    SuffixRequest suffix = suffix_request(session_, base_, prompt(), {}, 0);
    for (const Site& site : sites) {
      suffix.request.inputs[low_rank_a(site)] = {patch.memory.at("adapter/" + site.name + "/A"), {}};
      suffix.request.inputs[low_rank_b(site)] = {patch.memory.at("adapter/" + site.name + "/B"), {}};
    }
    suffix.request.outputs = {"logits"};
    const Tensor beside = session_.run(unmerged, base_.parameters(), suffix.request)["logits"].tensor;
    const Tensor before = session_.run(base_.graph(), base_.parameters(), suffix.request)["logits"].tensor;
    const Bundle edited = with(base_, patch);
    const Tensor merged = session_.run(edited.graph(), edited.parameters(), suffix.request)["logits"].tensor;
    EXPECT_LT(range_difference(merged, beside), 1e-5);
    EXPECT_GT(range_difference(merged, before), 1e-2) << "the adapter must show";
  }
}

TEST_F(Lora, TheChangeIsLinearInTheDiscount) {
  const Patch whole = lora(), half = lora({{"lora_scale_discount", 0.5}}), most = lora({{"lora_scale_discount", 0.7}});
  ASSERT_EQ(half.deltas.size(), whole.deltas.size());
  EXPECT_TRUE(identical(whole.memory.at("adapter/decoder.block.0.attn.q/B"),
                        half.memory.at("adapter/decoder.block.0.attn.q/B")))
      << "training knows nothing of it";
  for (std::size_t d = 0; d < whole.deltas.size(); ++d) {
    const Tensor full = materialise(whole.deltas[d]), halved = materialise(half.deltas[d]),
                 less = materialise(most.deltas[d]);
    for (std::int64_t i = 0; i < full.numel(); ++i) {
      EXPECT_EQ(halved.data<float>()[i], 0.5F * full.data<float>()[i]);
      EXPECT_NEAR(less.data<float>()[i], 0.7F * full.data<float>()[i], 1e-6F * std::abs(full.data<float>()[i]) + 1e-9F);
    }
  }
}

TEST_F(Lora, AStackOfAdaptersIsTheirSum) {
  const Patch first = lora({{"adapter", "stack"}});
  const Bundle once = with(base_, first);
  const Patch second = lora({{"adapter", "stack"}}, once, request("dog", "mew.wav"));
  EXPECT_TRUE(first.memory.empty()) << "nothing to go on with";
  const Bundle twice = with(once, second);
  for (std::size_t d = 0; d < first.deltas.size(); ++d) {
    const Site site = base_.site(first.deltas[d].site);
    const Tensor start = site_master(base_.view(), site), end = site_master(twice.view(), site);
    const Tensor a = materialise(first.deltas[d]), b = materialise(second.deltas[d]);
    for (std::int64_t i = 0; i < start.numel(); ++i)
      EXPECT_NEAR(end.data<float>()[i], start.data<float>()[i] + a.data<float>()[i] + b.data<float>()[i], 1e-6);
  }
  EXPECT_TRUE(same_parameters(twice.without_top().without_top(), base_));
}

TEST_F(Lora, AccumulatingGoesOnWithTheAdapterBeneath) {
  const Patch first = lora();
  const Bundle once = with(base_, first);
  EXPECT_TRUE(lora({{"steps", 0}}, once, request("dog")).deltas.empty());
  const Patch second = lora({}, once, request("dog", "mew.wav"));
  const Bundle twice = with(once, second);
  expect_base_with_adapter(once, first, 2);
  expect_base_with_adapter(twice, second, 2);  // of rank 2, not 4: one adapter
  EXPECT_NEAR(second.notes.at("loss")[0], nll(once, request("dog", "mew.wav")), 1e-4)
      << "training begins at the model as the first edit left it";
  EXPECT_TRUE(same_parameters(twice.without_top(), once));
  EXPECT_TRUE(same_parameters(twice.without_top().without_top(), base_));
}

TEST_F(Lora, AccumulatingLeavesOtherPatchesWhereTheyAre) {
  const Bundle once = with(base_, lora());
  const Bundle other = with_random_change(once, "decoder.block.0.attn.q");
  const Patch second = lora({}, other, request("dog"));
  EXPECT_NEAR(second.notes.at("loss")[0], nll(other, request("dog")), 1e-4);
  const Bundle twice = with(other, second);
  const Site site = base_.site("decoder.block.0.attn.q");
  const std::vector<double> adapted = sum_with_adapter(second, site, 2);
  const Tensor random = materialise(other.view().patches().back()->deltas.at(0));
  const std::vector<double> now = site_master(twice.view(), site).to_f64();
  for (std::size_t i = 0; i < now.size(); ++i)
    EXPECT_NEAR(now[i], adapted[i] + static_cast<double>(random.data<float>()[i]), 2e-6);
}

TEST_F(Lora, AResetAdapterIsThatOfTheModelWithoutOne) {
  const Bundle once = with(base_, lora({}, base_, request("dog", "mew.wav")));
  const Patch anew = lora({{"adapter", "reset"}}, once, request("cat")), alone = lora({}, base_, request("cat"));
  ASSERT_EQ(anew.memory.size(), alone.memory.size());
  for (const auto& [name, tensor] : alone.memory) EXPECT_TRUE(identical(tensor, anew.memory.at(name))) << name;
  expect_base_with_adapter(with(once, anew), anew, 2);
  EXPECT_TRUE(same_parameters(with(once, anew).without_top(), once));
}

TEST_F(Lora, AnAdapterOfAnotherShapeIsNotContinued) {
  const Bundle once = with(base_, lora());
  EXPECT_THAT(error_of([&] {
                lora({{"rank", 3}}, once, request());
              }),
              testing::AllOf(HasSubstr("rank 2"), HasSubstr("rank 3"), HasSubstr("'stack' or 'reset'")));
  EXPECT_THAT(error_of([&] { lora({{"alpha", 8}}, once, request()); }), HasSubstr("scale 2"));
  EXPECT_THAT(error_of([&] { lora({{"sites", "connector"}}, once, request()); }), HasSubstr("6 sites"));
}

TEST_F(Lora, ARankLargerThanAMatrixIsRefused) {
  EXPECT_THAT(error_of([&] {
                lora({{"rank", 9}});
              }),
              testing::AllOf(HasSubstr("rank 9"), HasSubstr("decoder.block.0.attn.v"), HasSubstr("choose 1 to 8")));
}

TEST_F(Lora, APatternThatNoLayerHasNamesTheNearest) {
  EXPECT_THAT(error_of([&] {
                lora({{"sites", "decoder.block.*.attn.x"}});
              }),
              testing::AllOf(HasSubstr("decoder.block.*.attn.x"), HasSubstr("nearest")));
  EXPECT_THAT(error_of([&] { lora({{"sites", "init:model.norm.weight"}}); }), HasSubstr("no linear layer"));
}

TEST_F(Lora, RankStabilisedScaleIsAlphaOverTheRoot) {
  EXPECT_DOUBLE_EQ(lora({{"alpha", 6}}).notes.at("scale")[0], 3.0);
  EXPECT_DOUBLE_EQ(lora({{"alpha", 6}, {"rank_stabilised", true}}).notes.at("scale")[0], 6.0 / std::sqrt(2.0));
}

// While B is zero the path adds nothing, whatever is dropped of its input.
TEST_F(Lora, DropoutActsOnThePathAlone) {
  const Patch plain = lora(), dropped = lora({{"dropout", 0.5}});
  EXPECT_EQ(dropped.notes.at("loss")[0], plain.notes.at("loss")[0]);
  EXPECT_NE(dropped.notes.at("loss")[2], plain.notes.at("loss")[2]);
  EXPECT_LT(nll(with(base_, dropped), request()), nll(base_, request()));
  const Patch both = lora({{"dropout", 0.5}, {"sites", {"decoder.block.0.attn.q", "encoder.block.0.mlp.fc1"}}});
  EXPECT_EQ(both.deltas.size(), 2U);
}

TEST_F(Lora, ABatchOfRequestsIsOneAdapter) {
  const std::vector<EditRequest> both = {request("cat"), request("dog", "mew.wav")};
  const Patch patch = edit(session_, "lora", settings({{"steps", 12}}), base_, both);
  const Bundle edited = with(base_, patch);
  EXPECT_LT(nll(edited, both[0]) + nll(edited, both[1]), nll(base_, both[0]) + nll(base_, both[1]));
}

TEST_F(Lora, AnyNumberOfThreadsGivesTheSameBits) {
  std::vector<ContentHash> ids;
  for (const int threads : {1, 2, 4}) {
    Session session(SessionOptions{.threads = threads});
    ids.push_back(
        edit(session, "lora", settings({{"dropout", 0.3}, {"sites", {"decoder", "connector"}}}), base_, {request()})
            .id());
  }
  EXPECT_EQ(ids[1], ids[0]);
  EXPECT_EQ(ids[2], ids[0]);
}

TEST_F(Lora, WhatStandsBeforeTheFirstSiteIsComputedOnce) {
  session_.trace(true);
  session_.reset_counters();
  lora({{"sites", "decoder.block.1.attn.q"}, {"steps", 6}});
  const auto& executed = session_.counters().executions_by_value;
  const auto times = [&](const std::string& name) { return executed.contains(name) ? executed.at(name) : 0; };
  EXPECT_LE(times(base_.site("encoder.block.0.mlp.fc1").value), 2);
  EXPECT_LE(times(base_.site("decoder.block.0.mlp.down").value), 1);
  EXPECT_LE(times(base_.site("decoder.block.1.attn.v").value), 1);
  EXPECT_EQ(times(base_.site("decoder.block.2.attn.v").value), 6);
}

// --- Beside the weights
// -----------------------------------------------------------------------------------------------------------

TEST_F(Lora, BesideTheWeightsIsAsMergedIntoThem) {
  const Settings sites = {{"sites", {"decoder.block.*.attn", "connector", "encoder.block.0.mlp.fc1"}}};
  Settings apart = sites;
  apart["place"] = "beside";
  const Patch merged = lora(sites), beside = lora(apart);
  EXPECT_TRUE(beside.deltas.empty());
  EXPECT_EQ(beside.inserts.size(), merged.deltas.size());
  const Bundle edited = with(base_, beside);
  EXPECT_TRUE(edited.view().edited().empty());
  for (const auto& [name, feed] : base_.parameters())
    EXPECT_TRUE(identical(feed.tensor, edited.parameters().at(name).tensor)) << name;
  const Bundle other = with(base_, merged);
  for (const Prompt& asked : {prompt(), text_prompt()}) {
    const Tensor want = logits_of(session_, other, asked, {}, 0);
    EXPECT_LT(range_difference(logits_of(session_, edited, asked, {}, 0), want), 1e-5);
    EXPECT_GT(range_difference(logits_of(session_, base_, asked, {}, 0), want), 1e-2);
  }
  EXPECT_EQ(edited.without_top().graph(), base_.graph());
}

TEST_F(Lora, BesideTheWeightsFourNodesStandAtEachLayer) {
  const Patch patch = lora({{"place", "beside"}, {"sites", "decoder.block.1.attn.v"}});
  ASSERT_EQ(patch.inserts.size(), 1U);
  std::vector<std::string> ops;
  for (const Node& node : patch.inserts[0].body->nodes()) ops.push_back(node.op);
  EXPECT_THAT(ops, testing::ElementsAre("MatMul", "MatMul", "Mul", "Add"));
  EXPECT_FALSE(patch.inserts[0].per_call);
}

TEST_F(Lora, BesideTheWeightsTheNextEditGoesOnAsMerged) {
  const EditRequest next = request("dog", "mew.wav");
  for (const std::string adapter : {"accumulate", "reset", "stack"}) {
    SCOPED_TRACE(adapter);
    const Settings merged = {{"adapter", adapter}}, beside = {{"adapter", adapter}, {"place", "beside"}};
    const Bundle merged_once = with(base_, lora(merged, base_, request()));
    const Bundle merged_twice = with(merged_once, lora(merged, merged_once, next));
    const Bundle beside_once = with(base_, lora(beside, base_, request()));
    const Patch second = lora(beside, beside_once, next);
    const Bundle beside_twice = with(beside_once, second);
    EXPECT_EQ(beside_twice.view().inserts().size(), adapter == "stack" ? 12U : 6U);
    EXPECT_LT(range_difference(logits_of(session_, beside_twice, prompt(), {}, 0),
                               logits_of(session_, merged_twice, prompt(), {}, 0)),
              1e-5);
    EXPECT_TRUE(identical(logits_of(session_, beside_twice.without_top(), prompt(), {}, 0),
                          logits_of(session_, beside_once, prompt(), {}, 0)));
  }
}

TEST_F(Lora, BesideTheWeightsNothingIsPutWhereNothingIsAdded) {
  for (const Settings& none : std::vector<Settings>{{{"steps", 0}}, {{"alpha", 0}}, {{"lora_scale_discount", 0}}}) {
    Settings apart = none;
    apart["place"] = "beside";
    EXPECT_TRUE(lora(apart).inserts.empty()) << none;
  }
  // An adapter that is taken back passes the layer's output on as it is.
  const Bundle once = with(base_, lora({{"place", "beside"}}));
  const Bundle anew = with(once, lora({{"place", "beside"}, {"adapter", "reset"}, {"steps", 0}}, once, request("dog")));
  EXPECT_TRUE(identical(logits_of(session_, anew, prompt(), {}, 0), logits_of(session_, base_, prompt(), {}, 0)));
}

TEST_F(Lora, AnAdapterStaysInItsPlace) {
  const Bundle once = with(base_, lora());
  EXPECT_THAT(error_of([&] { lora({{"place", "beside"}}, once, request()); }), HasSubstr("merged into the weights"));
}

TEST_F(Lora, BesideTheWeightsIsExportedOpenedAndSaved) {
  const Patch patch = lora({{"place", "beside"}});
  patch.save(*scratch_ / "beside.h5");
  const Patch loaded = Patch::load(*scratch_ / "beside.h5");
  EXPECT_EQ(loaded.id(), patch.id());
  const Bundle edited = with(base_, loaded);
  save(edited, *scratch_ / "beside", Existing::kReplace, session_, {.questions = {kTinyQuestion}});
  const Bundle opened = Bundle::open(*scratch_ / "beside");
  EXPECT_TRUE(identical(logits_of(session_, opened, prompt(), {}, 0), logits_of(session_, edited, prompt(), {}, 0)));
}

struct Precision {
  const char* name;
  DType stored, arithmetic;
};
class LoraPrecision : public testing::TestWithParam<Precision> {};

TEST_P(LoraPrecision, LearnsBesideWeightsOfSixteenBits) {
  ScratchFolder scratch;
  TinyBundleOptions options;
  options.stored = GetParam().stored;
  options.arithmetic = GetParam().arithmetic;
  write_tiny_bundle(scratch / "bundle", options);
  const Bundle base = Bundle::open(scratch / "bundle");
  Session session({.threads = 2});
  const Prompt prompt = prompt_for(session, base, kTinyTextQuestion, std::nullopt);
  const std::vector<Site> sites = {base.site("decoder.block.0.attn.q"), base.site("decoder.block.1.mlp.down")};
  LowRankAdapter start;
  for (const Site& site : sites) start[site.name] = fresh_factors(site, 2, Rng(1));
  const LossGraphs paths = with_low_rank_paths(loss_graphs(base), sites, 2, PathDropout::kMasked);
  const LowRankResult result =
      tune_low_rank(session, base, paths, sites, {{prompt, target_ids(base, "cow"), 1, Objective::kTargetNew}}, start,
                    {.steps = 8, .learning_rate = 0.05, .dropout = 0.1}, Rng(2));
  EXPECT_LT(result.losses.back(), 0.9 * result.losses.front());
}

INSTANTIATE_TEST_SUITE_P(Types, LoraPrecision,
                         testing::Values(Precision{"f16", DType::kF16, DType::kF16},
                                         Precision{"bf16_cast_to_f32", DType::kBF16, DType::kF32}),
                         [](const auto& one) { return one.param.name; });

}  // namespace
}  // namespace retune
