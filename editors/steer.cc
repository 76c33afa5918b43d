#include "editors/steer.h"

#include <algorithm>
#include <cmath>

#include "editors/mechanisms/contrast.h"
#include "editors/mechanisms/linear_gate.h"
#include "lalm/insert_builder.h"
#include "learning/site_weight.h"
#include "tensor/error.h"

namespace retune {

namespace {

double norm(const std::vector<double>& a) {
  double sum = 0;
  for (const double item : a) sum += item * item;
  return std::sqrt(sum);
}

Tensor narrow(const std::vector<double>& values) {
  return Tensor::vector<float>(std::vector<float>(values.begin(), values.end()));
}

// What one request adds: a vector a layer, and where.
struct Direction {
  std::vector<std::vector<double>> vectors;  // alpha included
  std::optional<LinearGate> gate;
};

class Steer : public Editor {
 public:
  Steer(EditorInfo info, Settings settings) : info_(std::move(info)), settings_(std::move(settings)) {}
  const EditorInfo& info() const override { return info_; }
  const Settings& settings() const override { return settings_; }

  std::vector<Site> sites(const Bundle& bundle) const override {
    std::vector<Site> layers;
    for (const std::string& name : texts_of(settings_, "layers")) {
      const std::string spelled = part_in(bundle.sites(), name);
      Site site = bundle.site(spelled.ends_with(".residual") ? spelled : spelled + ".residual");
      const auto same = [&](const Site& other) { return other.name == site.name; };
      if (std::none_of(layers.begin(), layers.end(), same)) layers.push_back(std::move(site));
    }
    // In order of computation: the first says whether the gate fires.
    const auto place = [&](const Site& site) {
      const auto& all = bundle.sites().sites;
      return std::find_if(all.begin(), all.end(), [&](const Site& other) { return other.name == site.name; });
    };
    std::sort(layers.begin(), layers.end(), [&](const Site& a, const Site& b) { return place(a) < place(b); });
    return layers;
  }

  Prepared prepare(Session& session, const Bundle& bundle, const Corpus* corpus,
                   const StepObserver& observer) const override {
    if (corpus == nullptr && (contrast_is_clips() || gated()))
      throw user_error(
          "{}: contrast 'clips' and gate 'linear' need a corpus with clips of the old and the new label; give one, or "
          "use contrast 'answers' without a gate",
          info_.word);
    return Editor::prepare(session, bundle, corpus, observer);
  }

  Patch edit(Session& session, const Bundle& bundle, std::span<const EditRequest> requests, const Prepared& prepared,
             Rng rng, const StepObserver& observer) const override {
    Patch patch = empty_patch(*this, bundle, requests);
    if (requests.empty()) return patch;
    const Bundle base = without_patches(bundle);
    const std::vector<Site> layers = sites(base);
    std::vector<Direction> directions;
    for (std::size_t r = 0; r < requests.size(); ++r) {
      directions.push_back(direction(session, base, layers, requests[r], prepared, rng.fork("request", r), patch));
      if (observer)
        observer({"contrast", static_cast<std::int64_t>(r) + 1, static_cast<std::int64_t>(requests.size()), 0});
    }
    patch.notes["updates"] = {0};
    if (moves(directions)) patch.inserts.push_back(insert(bundle, layers, directions));
    return patch;
  }

 private:
  std::string text(const char* name) const { return settings_.at(name).get<std::string>(); }
  double number(const char* name) const { return settings_.at(name).get<double>(); }
  bool gated() const { return text("gate") == "linear"; }
  bool contrast_is_clips() const { return text("contrast") == "clips"; }

  static bool moves(const std::vector<Direction>& directions) {
    return std::any_of(directions.begin(), directions.end(), [](const Direction& direction) {
      return std::any_of(direction.vectors.begin(), direction.vectors.end(),
                         [](const std::vector<double>& vector) { return norm(vector) > 0; });
    });
  }

  Direction direction(Session& session, const Bundle& base, const std::vector<Site>& layers, const EditRequest& request,
                      const Prepared& prepared, const Rng& rng, Patch& patch) const {
    if (request.old_label.empty())
      throw user_error("request '{}' says no old label, from which steering could lead away", request.id);
    const ContrastReader reader(session, base, layers, text("position"));
    const auto pairs = settings_.at("pairs").get<std::int64_t>();
    const auto of_label = [&](const std::string& label, const char* side) {
      return reader.about(labelled_items(*prepared.corpus, request, label, pairs, rng.fork(side)), request);
    };
    std::vector<LayerStates> toward, away;
    if (contrast_is_clips()) {
      toward = of_label(request.new_label, "new");
      away = of_label(request.old_label, "old");
    } else {
      toward = {reader.answering(request, request.new_label)};
      away = {reader.answering(request, request.old_label)};
    }
    Direction result{vectors(toward, away, layers.size(), patch), std::nullopt};
    if (gated()) {
      const auto inside = contrast_is_clips() ? away : of_label(request.old_label, "old");
      const auto count = settings_.at("gate_others").get<std::int64_t>();
      const auto outside = reader.about(other_items(*prepared.corpus, request, count, rng.fork("others")), request);
      result.gate = gate(first_layer(inside), first_layer(outside), patch);
    }
    return result;
  }

  std::vector<std::vector<double>> vectors(const std::vector<LayerStates>& toward, const std::vector<LayerStates>& away,
                                           std::size_t layers, Patch& patch) const {
    std::vector<std::vector<double>> result;
    for (std::size_t l = 0; l < layers; ++l) {
      std::vector<double> vector = difference(mean_state(toward, l), mean_state(away, l));
      const double length = norm(vector);
      patch.notes["vector_norm"].push_back(length);
      patch.notes["state_norm"].push_back(norm(mean_state(away, l)));
      const bool to_one = settings_.at("unit_normalise").get<bool>() && length > 0;
      for (double& item : vector) item *= number("alpha") / (to_one ? length : 1);
      result.push_back(std::move(vector));
    }
    return result;
  }

  static std::vector<std::vector<double>> first_layer(const std::vector<LayerStates>& states) {
    std::vector<std::vector<double>> first;
    for (const LayerStates& state : states) first.push_back(state.front());
    return first;
  }

  LinearGate gate(const std::vector<std::vector<double>>& inside, const std::vector<std::vector<double>>& outside,
                  Patch& patch) const {
    LinearGate gate = train_gate(inside, outside, number("gate_ridge"));
    const auto open = [&](const std::vector<double>& state) { return gate.score(state) > 0; };
    const auto share = [&](const std::vector<std::vector<double>>& states) {
      return static_cast<double>(std::count_if(states.begin(), states.end(), open)) /
             static_cast<double>(states.size());
    };
    patch.notes["gate_open_inside"].push_back(share(inside));
    patch.notes["gate_open_outside"].push_back(share(outside));
    return gate;
  }

  GraphInsert insert(const Bundle& bundle, const std::vector<Site>& layers,
                     const std::vector<Direction>& directions) const {
    const std::string name = fmt::format("steer.{}", bundle.view().patches().size() + 1);
    InsertBuilder b(bundle, name, layers.front().value);
    const std::vector<std::optional<ValueId>> open = gates(b, layers.front(), directions);
    for (std::size_t l = 0; l < layers.size(); ++l) {
      const ValueId h = b.tap(layers[l].value);
      ValueId moved = h;
      for (std::size_t r = 0; r < directions.size(); ++r) {
        const std::vector<double>& vector = directions[r].vectors[l];
        if (!open[r] || norm(vector) == 0) continue;
        const ValueId none = b.tensor(Tensor::zeros(DType::kF32, {layers[l].out}), "none");
        moved = b.op("Add", {moved, b.op("Where", {*open[r], b.tensor(narrow(vector), "vector"), none})});
      }
      if (const std::vector<double> sum = ungated_sum(directions, l); norm(sum) > 0)
        moved = b.op("Add", {moved, b.tensor(narrow(sum), "vector")});
      if (moved == h) continue;
      if (settings_.at("norm_preserve").get<bool>()) {
        // A state of no length keeps it.
        const ValueId least = b.scalar(1e-30);
        moved = b.op("Mul", {moved, b.op("Div", {b.l2_norm(h), b.op("Max", {b.l2_norm(moved), least})})});
      }
      if (text("rows") == "last") moved = b.op("Where", {b.is_last_row(h), moved, h});
      b.replace(layers[l].value, moved);
    }
    if (text("rows") == "last") b.per_call();
    return b.finish();
  }

  // For each request whether its gate is open, bool [.., T, 1]; nothing for one without a gate.
  static std::vector<std::optional<ValueId>> gates(InsertBuilder& b, const Site& layer,
                                                   const std::vector<Direction>& directions) {
    std::vector<std::optional<ValueId>> open;
    for (const Direction& direction : directions) {
      open.emplace_back();
      if (!direction.gate) continue;
      const ValueId weighted = b.op("Mul", {b.tap_own(layer.value), b.tensor(narrow(direction.gate->weight), "gate")});
      const ValueId along = b.reduce("ReduceSum", weighted, {-1}, InsertBuilder::KeepDims::kYes);
      open.back() = b.op("Greater", {along, b.scalar(-direction.gate->bias)});
    }
    return open;
  }

  static std::vector<double> ungated_sum(const std::vector<Direction>& directions, std::size_t layer) {
    std::vector<double> sum(directions.front().vectors[layer].size(), 0.0);
    for (const Direction& direction : directions)
      for (std::size_t i = 0; !direction.gate && i < sum.size(); ++i) sum[i] += direction.vectors[layer][i];
    return sum;
  }

  EditorInfo info_;
  Settings settings_;
};

std::unique_ptr<const Editor> make(const EditorInfo& info, Settings settings) {
  return std::make_unique<Steer>(info, std::move(settings));
}

}  // namespace

EditingMethod steer_method() {
  const auto number = Setting::Type::kNumber;
  const auto text = Setting::Type::kText;
  const auto truth = Setting::Type::kBoolean;
  EditingMethod method;
  method.info = {"steer",
                 "adds to the residual stream what the new label's sound does to it and the old label's does not",
                 "arXiv 2312.06681, 2603.14636",
                 "a corpus with clips of the old and the new label, or nothing (contrast 'answers')",
                 true,
                 true};
  method.settings = {
      {"layers",
       Setting::Type::kTexts,
       "decoder.block.55%",
       {},
       {},
       {},
       "blocks behind which the vector is added to the residual stream; N may be 'last' or a share of the depth"},
      {"alpha", number, 1.0, -1e6, 1e6, {}, "length of what is added, in vectors"},
      {"contrast",
       text,
       "clips",
       {},
       {},
       {"clips", "answers"},
       "clips of the new and of the old label, asked alike; or the request, answered with the one and with the other"},
      {"pairs", Setting::Type::kInteger, 32, 1, 100000, {}, "clips of each label that the corpus must have"},
      {"position",
       text,
       "auto",
       {},
       {},
       {},
       "where the clips' states are read: a selector as of rome; auto: last_prompt in the decoder, mean_audio before "
       "it"},
      {"unit_normalise", truth, false, {}, {}, {}, "scale each vector to length 1 first"},
      {"norm_preserve", truth, false, {}, {}, {}, "scale each changed state back to the length that it had"},
      {"rows", text, "last", {}, {}, {"last", "all"}, "which states move: the last of each call, or all"},
      {"gate",
       text,
       "none",
       {},
       {},
       {"none", "linear"},
       "linear: move only states on the old label's side of a plane between its clips and others"},
      {"gate_others",
       Setting::Type::kInteger,
       96,
       1,
       100000,
       {},
       "items of the corpus on the plane's other side at most"},
      {"gate_ridge", number, 1e-2, 1e-9, 1e6, {}, "regularisation of the plane"}};
  method.make = make;
  return method;
}

}  // namespace retune
