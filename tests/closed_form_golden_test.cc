// Closed-form edits of the demo model against PyTorch, which writes the papers' formulas out
// (tests/golden/closed_form).
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "adapters/tensor_file.h"
#include "editors/mechanisms/locate.h"
#include "editors/registry.h"
#include "tests/tiny_bundle.h"

namespace retune {
namespace {

constexpr const char* kGolden = "tests/golden/closed_form/golden.h5";

struct Asked {
  std::string id, question, answer;
};

class ClosedFormGolden : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists("demo/bundle/config.json") || !std::filesystem::exists(kGolden))
      GTEST_SKIP() << "demo/bundle or its golden data is not here";
    golden_ = read_tensors(kGolden);
  }

  static std::vector<EditRequest> requests() {
    std::vector<EditRequest> all;
    for (const Asked& asked : {Asked{"trunk", "What has a trunk?", "cow"}, Asked{"purr", "What purrs?", "dog"},
                               Asked{"bark", "Which animal barks?", "cat"}})
      all.push_back({asked.id, "Animal", {}, asked.question, {}, "", asked.answer, Scope::kLabel});
    return all;
  }
  static Settings spread(const Settings& more) {
    Settings all = {{"site", "decoder.block.3.mlp.down"},
                    {"context_mode", "text_prefix"},
                    {"prefixes", {"Please listen carefully.", "Take your time."}},
                    {"target_steps", 4},
                    {"target_stop_loss", 0.0},
                    {"ridge", 0.0}};
    all.update(more);
    return all;
  }
  // C_ij = 0.2 exp(-|i - j| / 5), as make.py has it.
  Prepared prepared(const Bundle& bundle, const std::vector<std::string>& sites) const {
    Prepared made;
    made.losses = loss_graphs(bundle);
    for (const std::string& name : sites) {
      const std::int64_t width = bundle.site(name).in;
      Matrix c(width, width);
      SecondMoment moment{{name, {}, {}, {}}, width, {}};
      moment.classes[0].tokens = 1;
      for (std::int64_t i = 0; i < width; ++i)
        for (std::int64_t j = 0; j < width; ++j) {
          c(i, j) = 0.2 * std::exp(-std::abs(static_cast<double>(i - j)) / 5);
          if (j >= i) moment.classes[0].sum.push_back(c(i, j));
        }
      made.null_spaces.emplace(name, null_space(c, {}));
      made.second_moments.emplace(name, std::move(moment));
    }
    return made;
  }

  // Two requests, then one more upon the edited model; every change against the golden one.
  void compare(const std::string& method, const Settings& settings, const std::vector<std::string>& sites) {
    const Bundle base = Bundle::open("demo/bundle");
    Session session({.threads = 2});
    const auto editor = make_editor(method, settings);
    const Prepared aids = prepared(base, sites);
    const std::vector<EditRequest> all = requests();
    Bundle model = base;
    for (int step = 0; step < 2; ++step) {
      const auto batch = step == 0 ? std::span(all).first(2) : std::span(all).last(1);
      Patch patch = editor->edit(session, model, batch, aids, Rng(1));
      ASSERT_EQ(patch.deltas.size(), sites.size());
      for (const TensorDelta& delta : patch.deltas) {
        const std::string block = delta.site.substr(14, 1);  // "decoder.block.N.mlp.down"
        const std::string at = method + "/" + std::to_string(step) + "/" + block + "/";
        SCOPED_TRACE(at);
        expect_close(delta, golden_.at(at + "r"), golden_.at(at + "x"));
      }
      if (batch.size() == 1) expect_losses(patch, golden_.find(method + "/1/losses/" + batch[0].id));
      model = model.with(std::make_shared<const Patch>(std::move(patch)));
    }
  }

  // UltraEdit has no target vector, and its golden data no losses.
  void expect_losses(const Patch& patch, std::map<std::string, Tensor>::const_iterator losses) const {
    if (losses == golden_.end()) return;
    const std::vector<double> expected = losses->second.to_f64();
    ASSERT_EQ(patch.notes.at("loss").size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(patch.notes.at("loss")[i], expected[i], 1e-3) << i;
  }

  static void expect_close(const TensorDelta& delta, const Tensor& r, const Tensor& x) {
    const Tensor ours = materialise(delta);
    const std::int64_t out = r.shape()[0], in = x.shape()[0], rank = r.shape()[1];
    ASSERT_EQ(ours.shape(), (Shape{out, in}));
    double error = 0, size = 0;
    for (std::int64_t o = 0; o < out; ++o)
      for (std::int64_t i = 0; i < in; ++i) {
        double golden = 0;
        for (std::int64_t n = 0; n < rank; ++n)
          golden +=
              static_cast<double>(r.data<float>()[o * rank + n]) * static_cast<double>(x.data<float>()[i * rank + n]);
        const double off = static_cast<double>(ours.data<float>()[o * in + i]) - golden;
        error += off * off;
        size += golden * golden;
      }
    EXPECT_LT(std::sqrt(error / size), 1e-3);
  }

  std::map<std::string, Tensor> golden_;
};

TEST_F(ClosedFormGolden, ThePromptsAreThoseOfTheGoldenData) {
  const Bundle bundle = Bundle::open("demo/bundle");
  Session session({.threads = 2});
  for (const EditRequest& request : requests()) {
    const auto views = context_views(
        session, bundle, request,
        context_options(resolve_settings("memit", editing_method("memit").settings, spread(Settings::object()))),
        Rng(1));
    EXPECT_EQ(Tensor::vector(target_ids(bundle, request.new_label)).to_i64(),
              golden_.at("ids/" + request.id + "/target").to_i64());
    for (std::size_t i = 0; i < views.size(); ++i)
      EXPECT_EQ(views[i].view.prompt.ids, golden_.at("ids/" + request.id + "/view" + std::to_string(i)).to_i64());
  }
}

TEST_F(ClosedFormGolden, Memit) {
  compare("memit", spread({{"layers", 2}}), {"decoder.block.2.mlp.down", "decoder.block.3.mlp.down"});
}

TEST_F(ClosedFormGolden, AlphaEdit) {
  compare("alphaedit", spread({{"layers", 2}}), {"decoder.block.2.mlp.down", "decoder.block.3.mlp.down"});
}

TEST_F(ClosedFormGolden, Emmet) { compare("emmet", spread({{"layers", 1}}), {"decoder.block.3.mlp.down"}); }

TEST_F(ClosedFormGolden, UltraEdit) {
  compare("ultraedit", {{"sites", "decoder.block.3.mlp.down"}, {"learning_rate", 1e-4}}, {"decoder.block.3.mlp.down"});
}

}  // namespace
}  // namespace retune
