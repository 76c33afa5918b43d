// Models that PyTorch exported (tests/golden/torch_exports) against what PyTorch computes for them: results, gradients,
// what each site holds, and what an edit of each site does, however the exporter spelt the layer.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "adapters/tensor_file.h"
#include "graph/graph_builder.h"
#include "graph/import.h"
#include "lalm/link.h"
#include "lalm/site.h"
#include "learning/site_weight.h"
#include "tests/onnx_names.h"
#include "tests/tiny_bundle.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using testing::IsEmpty;
using testing::UnorderedElementsAreArray;
using Tensors = std::map<std::string, Tensor>;

const fs::path kFolder = "tests/golden/torch_exports";
constexpr double kForward = 1e-5, kGradient = 1e-4;  // relative to the largest magnitude; f32 gives some 1e-6

std::string model_name(const testing::TestParamInfo<std::string>& model) { return model.param; }

struct Exported {
  Graph graph;
  Parameters parameters;
};

Exported open(const fs::path& folder, const std::string& name) {
  const OnnxModel model = OnnxModel::open(folder / (name + ".onnx"));
  Exported result{.graph = import_onnx(model, name + ".onnx"), .parameters = {}};
  result.parameters = parameters_of(result.graph, model);
  return result;
}

// Of a golden file's tensors those whose names start so, without the prefix.
Tensors below(const Tensors& tensors, const std::string& prefix) {
  Tensors found;
  for (const auto& [name, tensor] : tensors)
    if (name.starts_with(prefix)) found[name.substr(prefix.size())] = tensor;
  return found;
}

double largest_magnitude(const Tensor& tensor) {
  double largest = 0;
  for (const double v : tensor.to_f64()) largest = std::max(largest, std::abs(v));
  return largest;
}

void expect_close(const Tensor& got, const Tensor& want, double relative, const std::string& what) {
  ASSERT_EQ(got.shape().text(), want.shape().text()) << what;
  const std::vector<double> a = got.to_f64(), b = want.to_f64();
  const double bound = relative * largest_magnitude(want);
  for (std::size_t i = 0; i < a.size(); ++i)
    ASSERT_LE(std::abs(a[i] - b[i]), bound)
        << what << ", element " << i << " of " << want.text() << ": " << a[i] << " instead of " << b[i];
}

void feed(Request& request, const Tensors& inputs) {
  for (const auto& [name, tensor] : inputs) request.inputs[name] = {tensor, {}};
}

// Rows [begin, end) of the second axis.
Tensor second_axis(const Tensor& x, std::int64_t begin, std::int64_t end) {
  std::vector<std::int64_t> shape(x.shape().begin(), x.shape().end());
  const std::int64_t extent = shape[1], size = x.shape().product(2, x.shape().rank());
  shape[1] = end - begin;
  Tensor y = Tensor::empty(x.dtype(), Shape(shape));
  const std::size_t row = static_cast<std::size_t>(size) * dtype_size(x.dtype()),
                    count = static_cast<std::size_t>(end - begin) * row;
  for (std::int64_t b = 0; b < shape[0]; ++b)
    std::memcpy(y.mutable_raw() + static_cast<std::size_t>(b) * count,
                x.raw() + static_cast<std::size_t>(b * extent + begin) * row, count);
  return y;
}

class TorchExport : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    golden_ = read_tensors(kFolder / (GetParam() + ".h5"));
    model_ = open(kFolder, GetParam());
    graph_ = std::make_shared<const Graph>(model_.graph);
  }

  std::vector<std::string> cases() const {
    std::vector<std::string> result;
    for (int i = 0; golden_.contains(fmt::format("case_{}/cotangent", i)); ++i)
      result.push_back(fmt::format("case_{}/", i));
    return result;
  }

  Tensors golden_;
  Exported model_;
  std::shared_ptr<const Graph> graph_;
  Session session_{{.threads = 2}};
};

TEST_P(TorchExport, GivesWhatPyTorchGivesAtOtherLengthsAndBatchSizes) {
  ASSERT_GE(cases().size(), 2u);
  for (const std::string& at : cases()) {
    const Tensors outputs = below(golden_, at + "outputs/");
    Request request;
    feed(request, below(golden_, at + "inputs/"));
    for (const auto& [name, tensor] : outputs) request.outputs.push_back(name);
    const Results results = session_.run(graph_, model_.parameters, request);
    for (const auto& [name, want] : outputs) expect_close(results[name].tensor, want, kForward, at + name);
  }
}

TEST_P(TorchExport, HasPyTorchsGradientsForEveryWeightAndFloatInput) {
  Graph graph = model_.graph;
  const ValueId output = graph.outputs[0];
  GraphBuilder b(graph);
  b.op("Mul", {output, graph.add_input("cotangent", DType::kF32)}, {}, "loss");
  const auto with_loss = std::make_shared<const Graph>(std::move(graph));
  std::set<std::string> compared;
  for (const std::string& at : cases()) {
    const Tensors gradients = below(golden_, at + "gradients/");
    Request request{.loss = "loss"};
    feed(request, below(golden_, at + "inputs/"));
    feed(request, {{"cotangent", golden_.at(at + "cotangent")}});
    for (const auto& [name, tensor] : gradients) request.wrt.push_back(name);
    const Results results = session_.run(with_loss, model_.parameters, request);
    for (const auto& [name, want] : gradients) {
      expect_close(results["grad:" + name].tensor, want, kGradient, at + name);
      compared.insert(name);
    }
  }
  for (const auto& [name, feed] : model_.parameters) {
    if (!is_float(feed.tensor.dtype())) continue;  // an attention mask stored as bytes
    EXPECT_NE(compared.contains(name), golden_.contains("case_0/buffers/" + name)) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, TorchExport, testing::Values("whisper", "transcriber", "gpt2", "llama"), model_name);

using TorchDecoder = TorchExport;

// Evaluating the first rows, and the others behind the cache that these left, is evaluating all.
TEST_P(TorchDecoder, ContinuesBehindItsOwnCache) {
  for (const std::string at : {"case_0/", "case_1/"}) {
    const Tensors whole = below(golden_, at + "inputs/"), outputs = below(golden_, at + "outputs/");
    const std::int64_t rows = whole.at("inputs_embeds").shape()[1],
                       before = whole.at("attention_mask").shape()[1] - rows;
    for (std::int64_t cut = 1; cut < rows; ++cut) {
      Tensors inputs = whole;
      Results first, second;
      for (const bool rest : {false, true}) {
        for (const char* name : {"inputs_embeds", "position_ids"})
          if (whole.contains(name)) inputs[name] = second_axis(whole.at(name), rest ? cut : 0, rest ? rows : cut);
        inputs["attention_mask"] = second_axis(whole.at("attention_mask"), 0, before + (rest ? rows : cut));
        Request request;
        feed(request, inputs);
        for (const auto& [name, tensor] : outputs) request.outputs.push_back(name);
        (rest ? second : first) = session_.run(graph_, model_.parameters, request);
        for (auto& [name, tensor] : inputs)
          if (name.starts_with("past_key_values.")) tensor = first["present" + name.substr(15)].tensor;
      }
      const std::string what = fmt::format("{} cut at {}", at, cut);
      const Tensor& logits = outputs.at("logits");
      expect_close(first["logits"].tensor, second_axis(logits, 0, cut), kForward, what + ", first rows");
      expect_close(second["logits"].tensor, second_axis(logits, cut, rows), kForward, what + ", other rows");
      for (const auto& [name, want] : below(outputs, "present."))
        expect_close(second["present." + name].tensor, want, kForward, what + ", present." + name);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, TorchDecoder, testing::Values("gpt2", "llama"), model_name);

// Encoder, embedding and decoder as one model.
struct Linked {
  std::shared_ptr<const Graph> graph;
  Parameters parameters;
  SiteMap map;
};

Linked open_linked(const fs::path& folder, const std::string& decoder) {
  const Exported hearing = open(folder, "whisper"), embed = open(folder, "embed"), body = open(folder, decoder);
  Linked result{.graph = std::make_shared<const Graph>(link({&hearing.graph, &embed.graph, &body.graph})),
                .parameters = {},
                .map = {}};
  for (const auto& [prefix, part] :
       {std::pair{kEncoderPrefix, &hearing}, {kEmbedPrefix, &embed}, {kDecoderPrefix, &body}})
    for (const auto& [name, weight] : part->parameters) result.parameters[prefix + name] = weight;
  result.map = find_sites(*result.graph);
  return result;
}

class TorchSites : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    golden_ = read_tensors(kFolder / fmt::format("sites_{}.h5", GetParam()));
    model_ = open_linked(kFolder, GetParam());
  }

  Request prompt() const {
    Request request;
    for (const char* name : {"audio_values", "audio_rows", "input_ids"}) request.inputs[name] = {golden_.at(name), {}};
    const std::int64_t rows = golden_.at("input_ids").shape()[1];
    std::vector<std::int64_t> positions;
    for (std::int64_t i = 0; i < rows; ++i) positions.push_back(i);
    request.inputs["position_ids"] = {Tensor::of<std::int64_t>({1, rows}, positions), {}};
    request.inputs["attention_mask"] = {
        Tensor::of<std::int64_t>({1, rows}, std::vector<std::int64_t>(positions.size(), 1)), {}};
    for (const ValueId id : model_.graph->inputs) {
      const Value& input = model_.graph->value(id);
      if (!input.name.starts_with("past_key_values.")) continue;
      const Shape empty{1, input.declared[1].extent, 0, input.declared[3].extent};
      request.inputs[input.name] = {Tensor::zeros(DType::kF32, empty), {}};
    }
    std::erase_if(request.inputs, [&](const auto& item) { return model_.graph->find(item.first) == kNoValue; });
    return request;
  }

  // Last row of a value or of the logits.
  Tensor last_row(const Linked& model, const Parameters& parameters, const std::string& value) {
    Request request = prompt();
    request.outputs = {value};
    const Tensor tensor = session_.run(model.graph, parameters, request)[value].tensor;
    const std::int64_t width = tensor.shape().back(), rows = tensor.numel() / width;
    return tensor.reshaped({rows, width}).rows(rows - 1, 1).reshaped({width});
  }

  Tensor logits_after_edit(const Linked& model, const Site& site) {
    const ModelView base = ModelView::of(*model.graph, model.parameters);
    const std::string at = "sites/" + site.name;
    Patch patch;
    patch.method = "ft";
    patch.graph_hash = base.graph_hash();
    patch.deltas.push_back({.site = site.name,
                            .shape = site.delta_shape,
                            .values = LowRankDelta{golden_.at(at + "/u"), golden_.at(at + "/v")},
                            .targets = hashed_targets(base, site)});
    const ModelView edited = base.with(std::make_shared<const Patch>(std::move(patch)));
    return last_row(model, edited.parameters(), "logits");
  }

  // Sites of a kind that the golden data speaks of: for GPT-2 the decoder's.
  std::vector<const Site*> sites(const Linked& model, Site::Kind kind) const {
    std::vector<const Site*> result;
    for (const Site& site : model.map.sites)
      if (site.kind == kind && (GetParam() == "llama" || site.name.starts_with("decoder."))) result.push_back(&site);
    return result;
  }

  std::vector<std::string> names_below(const std::string& prefix) const {
    std::set<std::string> names;
    for (const auto& [name, tensor] : below(golden_, prefix)) names.insert(name.substr(0, name.find('/')));
    return {names.begin(), names.end()};
  }

  Tensors golden_;
  Linked model_;
  Session session_{{.threads = 2}};
};

std::vector<std::string> names_of(const std::vector<const Site*>& sites) {
  std::vector<std::string> names;
  for (const Site* site : sites) names.push_back(site->name);
  return names;
}

TEST_P(TorchSites, AreFoundInEveryBlock) {
  EXPECT_THAT(model_.map.unmatched, IsEmpty());
  EXPECT_EQ(model_.map.blocks.decoder, 2);
  EXPECT_EQ(model_.map.blocks.encoder, 2);
  EXPECT_EQ(model_.map.blocks.connector_layers, 2);
  EXPECT_THAT(names_of(sites(model_, Site::Kind::kLinear)), UnorderedElementsAreArray(names_below("sites/")));
  EXPECT_THAT(names_of(sites(model_, Site::Kind::kResidual)), UnorderedElementsAreArray(names_below("residuals/")));
}

TEST_P(TorchSites, HoldWhatPyTorchsModulesHold) {
  for (const Site* site : sites(model_, Site::Kind::kLinear)) {
    SCOPED_TRACE(site->name);
    const std::string at = "sites/" + site->name;
    expect_close(last_row(model_, model_.parameters, site->key), golden_.at(at + "/key"), kForward, "key");
    expect_close(last_row(model_, model_.parameters, site->value), golden_.at(at + "/value"), kForward, "value");
    const Tensor& bias = golden_.at(at + "/bias");
    ASSERT_EQ(site->bias.has_value(), bias.numel() != 0);
    if (site->bias) {
      EXPECT_TRUE(identical(model_.parameters.at(*site->bias).tensor, bias));
    }
  }
  for (const Site* site : sites(model_, Site::Kind::kResidual))
    expect_close(last_row(model_, model_.parameters, site->value), golden_.at("residuals/" + site->name), kForward,
                 site->name);
}

TEST_P(TorchSites, AnEditDoesWhatItDoesInPyTorch) {
  const Tensor base = last_row(model_, model_.parameters, "logits");
  for (const Site* site : sites(model_, Site::Kind::kLinear)) {
    const Tensor want = golden_.at("sites/" + site->name + "/edited_logits");
    expect_close(logits_after_edit(model_, *site), want, kForward, site->name);
    double moved = 0;
    for (std::int64_t i = 0; i < want.numel(); ++i)
      moved = std::max(moved, static_cast<double>(std::abs(want.data<float>()[i] - base.data<float>()[i])));
    EXPECT_GT(moved, 100 * kForward * largest_magnitude(want)) << site->name << ": the edit must show";
  }
}

TEST_P(TorchSites, DoNotDependOnNames) {
  ScratchFolder scratch;
  for (const std::string& name : {std::string("whisper.onnx"), std::string("embed.onnx"), GetParam() + ".onnx"})
    write_with_random_names(kFolder / name, scratch / name, Rng(23).fork(name));
  const Linked renamed = open_linked(scratch.path(), GetParam());
  EXPECT_EQ(renamed.map.unmatched, model_.map.unmatched);
  ASSERT_EQ(renamed.map.sites.size(), model_.map.sites.size());
  EXPECT_TRUE(
      identical(last_row(renamed, renamed.parameters, "logits"), last_row(model_, model_.parameters, "logits")));
  for (std::size_t i = 0; i < model_.map.sites.size(); ++i) {
    const Site &a = model_.map.sites[i], &b = renamed.map.sites[i];
    SCOPED_TRACE(a.name);
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.kind, b.kind);
    EXPECT_EQ(a.bias.has_value(), b.bias.has_value());
    ASSERT_EQ(a.targets.size(), b.targets.size());
    for (std::size_t t = 0; t < a.targets.size(); ++t) {
      EXPECT_NE(a.targets[t].initializer, b.targets[t].initializer) << "the copy must really have other names";
      EXPECT_EQ(a.targets[t].transposed, b.targets[t].transposed);
      EXPECT_EQ(a.targets[t].slice, b.targets[t].slice);
    }
    if (!golden_.contains("sites/" + a.name + "/u")) continue;
    EXPECT_TRUE(identical(logits_after_edit(model_, a), logits_after_edit(renamed, b)));
  }
}

INSTANTIATE_TEST_SUITE_P(Models, TorchSites, testing::Values("gpt2", "llama"), model_name);

}  // namespace
}  // namespace retune
