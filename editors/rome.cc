#include "editors/rome.h"

#include <cmath>

#include "editors/mechanisms/key_collector.h"
#include "editors/mechanisms/key_mapping.h"
#include "editors/mechanisms/target_optimizer.h"
#include "learning/site_weight.h"
#include "tensor/error.h"

namespace retune {

namespace {

constexpr double kSmallestShare = 1e-4;  // of ||k|| in the direction u: below it the update explodes

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}
double norm(const std::vector<double>& a) { return std::sqrt(dot(a, a)); }

Tensor column(const std::vector<double>& values) {
  return Tensor::of<float>({static_cast<std::int64_t>(values.size()), 1},
                           std::vector<float>(values.begin(), values.end()));
}

class Rome : public Editor {
 public:
  Rome(EditorInfo info, Settings settings) : info_(std::move(info)), settings_(std::move(settings)) {}
  const EditorInfo& info() const override { return info_; }
  const Settings& settings() const override { return settings_; }
  std::vector<Site> sites(const Bundle& bundle) const override { return {site_in(bundle)}; }

  Prepared prepare(Session& session, const Bundle& bundle, const Corpus* corpus,
                   const StepObserver& observer) const override {
    Prepared prepared = Editor::prepare(session, bundle, corpus, observer);
    const std::string source = text("second_moment");
    if (source == "identity") return prepared;
    const Site site = site_in(bundle);
    if (source != "corpus") {
      SecondMoment moment = SecondMoment::load(source);
      check_belongs(moment, bundle, site);
      prepared.second_moments.emplace(site.name, std::move(moment));
    } else if (corpus) {
      prepared.second_moments.emplace(site.name, measure_second_moment(session, bundle, site, *corpus, {}, observer));
    } else {
      throw user_error("{}: second_moment 'corpus' needs a corpus; give one, a file of retune stats, or 'identity'",
                       info_.word);
    }
    return prepared;
  }

  Patch edit(Session& session, const Bundle& bundle, std::span<const EditRequest> requests, const Prepared& prepared,
             Rng rng, const StepObserver& observer) const override {
    Patch patch = empty_patch(*this, bundle, requests);
    if (requests.empty()) return patch;
    if (requests.size() > 1)
      throw user_error("{} edits one fact at a time, got {}; use the sequential mode", info_.word, requests.size());
    const EditRequest& request = requests[0];
    const Site site = site_in(bundle);
    const Selector selector = selector_for(bundle, site, request);
    const std::vector<ContextView> views =
        context_views(session, bundle, request, context_options(settings_), rng.fork("views"));
    const std::vector<SiteReading> readings = read_site(session, bundle, site, selector, views);
    const TargetOptions options = target_options(settings_);
    TargetProblem problem{site, views, readings, target_ids(bundle, request.new_label), std::nullopt, std::nullopt};
    if (options.kl_weight > 0) ask_neutrally(session, bundle, request, selector, problem);
    const TargetVector target = optimize_target(session, bundle, prepared.losses, problem, options, observer);
    patch.notes["loss"] = target.losses;
    patch.notes["updates"] = {static_cast<double>(target.updates)};
    patch.notes["target_norm"] = {norm(target.delta)};
    patch.notes["start_norm"] = {norm(target.start)};
    if (norm(target.delta) > 0) insert(patch, bundle, site, prepared, readings[0], mean_of(views, readings), target);
    return patch;
  }

 private:
  std::string text(const char* name) const { return settings_.at(name).get<std::string>(); }

  Site site_in(const Bundle& bundle) const {
    Site site = bundle.site(part_in(bundle.sites(), text("site")));
    if (site.kind != Site::Kind::kLinear || site.key.empty() || site.weight.empty())
      throw user_error("{}: site '{}' is not a linear layer; choose one such as decoder.block.3.mlp.down", info_.word,
                       site.name);
    require_editable(site);
    return site;
  }

  Selector selector_for(const Bundle& bundle, const Site& site, const EditRequest& request) const {
    const std::string spelling = text("selector");
    if (spelling == "auto")
      return parse_selector(site_axis(*bundle.graph(), site.value) == SiteAxis::kAudio ? "mean_audio" : "last_prompt");
    Selector selector = parse_selector(spelling);
    if (selector.kind == Selector::Kind::kAttributeNoun) selector.text = request.attribute;
    return selector;
  }

  // The prompt whose answer is to stay. A selector of the question's text falls on the last position there: the text is
  // not in it.
  void ask_neutrally(Session& session, const Bundle& bundle, const EditRequest& request, Selector selector,
                     TargetProblem& problem) const {
    if (selector.kind == Selector::Kind::kAttributeNoun || selector.kind == Selector::Kind::kTextSubject)
      selector = parse_selector("last_prompt");
    problem.kl_prompt = view_prompt(session, bundle, text("kl_question"), sound_of(request));
    problem.kl_reading = read_site(session, bundle, problem.site, selector, *problem.kl_prompt);
  }

  // u, of length 1.
  std::vector<double> direction(const Site& site, const Prepared& prepared, const std::vector<double>& key) const {
    std::vector<double> u = key;
    if (text("second_moment") != "identity") {
      const auto moment = prepared.second_moments.find(site.name);
      if (moment == prepared.second_moments.end())
        throw user_error("{}: prepare() was not asked for the second moment of '{}'", info_.word, site.name);
      std::vector<TokenClass> classes;
      for (const std::string& name : texts_of(settings_, "second_moment_classes"))
        classes.push_back(token_class_from_name(name));
      u = moment->second.solve(key, 1, classes, settings_.at("ridge").get<double>());
    }
    const double length = norm(u);
    if (!(length > 0) || !std::isfinite(length))
      throw failure("{}: the key at '{}' has no direction (length {})", info_.word, site.name, length);
    for (double& item : u) item /= length;
    return u;
  }

  void insert(Patch& patch, const Bundle& bundle, const Site& site, const Prepared& prepared, const SiteReading& bare,
              const KeyValue& mean, const TargetVector& target) const {
    const std::string variant = text("variant");
    const std::vector<double> u = direction(site, prepared, variant == "prompt" ? bare.key : mean.key);
    const std::vector<double>& key = variant == "prefix" ? mean.key : bare.key;
    const std::vector<double>& now = variant == "prefix" ? mean.value : bare.value;
    const double along = dot(key, u);
    if (std::abs(along) < kSmallestShare * norm(key))
      throw failure(
          "{}: the key at '{}' is nearly orthogonal to the update's direction ({:.1e} of its length); the update would "
          "explode, use r-rome",
          info_.word, site.name, std::abs(along) / norm(key));
    KeyValue wanted{key, target.start};
    std::vector<double> lambda(target.delta.size());
    for (std::size_t i = 0; i < lambda.size(); ++i) {
      wanted.value[i] += target.delta[i];
      lambda[i] = (wanted.value[i] - now[i]) / along;
    }
    LowRankDelta change{column(lambda), column(u)};
    patch.notes["key_error"] = {prove_key_mapping(bundle, site, change, wanted)};
    patch.notes["key_norm"] = {norm(key)};
    patch.notes["key_along_update"] = {along};
    patch.notes["update_norm"] = {norm(lambda)};
    patch.deltas.push_back({site.name, site.delta_shape, std::move(change), hashed_targets(bundle.view(), site)});
  }

  EditorInfo info_;
  Settings settings_;
};

std::unique_ptr<const Editor> make(const EditorInfo& info, Settings settings) {
  return std::make_unique<Rome>(info, std::move(settings));
}

EditingMethod method_of(EditorInfo info, std::vector<std::string> variants, const std::string& meaning) {
  const auto text = Setting::Type::kText;
  EditingMethod method;
  method.info = std::move(info);
  method.settings = {
      {"site",
       text,
       "decoder.block.55%.mlp.down",
       {},
       {},
       {},
       "the linear layer to edit; the block may be a number, 'last', or a share of the depth"},
      {"selector",
       text,
       "auto",
       {},
       {},
       {},
       "where the subject is: last_prompt, last_audio, mean_audio, audio_span(a,b), attr_noun_last, "
       "text_subject_last(s); auto: last_prompt in the decoder, mean_audio before it"},
      {"variant", text, variants[0], {}, {}, variants, meaning},
      {"second_moment",
       text,
       "identity",
       {},
       {},
       {},
       "what keys to leave alone: 'identity' (none), 'corpus' (measured on the recipe's corpus), or a file of retune "
       "stats"},
      {"second_moment_classes",
       Setting::Type::kTexts,
       Settings::array(),
       {},
       {},
       {"text", "audio_slot", "template", "answer"},
       "classes of tokens that count in it; none given: all"},
      {"ridge", Setting::Type::kNumber, 1e-6, 0, 1e-2, {}, "regularisation of the second moment, in mean eigenvalues"}};
  for (Setting& setting : target_settings()) method.settings.push_back(std::move(setting));
  for (Setting& setting : context_settings("audio_aug")) method.settings.push_back(std::move(setting));
  method.make = make;
  return method;
}

}  // namespace

EditingMethod rome_method() {
  return method_of({"rome", "maps one key to one value by a rank-one update", "arXiv 2202.05262",
                    "nothing, or a corpus or its second moment", false, true},
                   {"rome"}, "which key the update is normalised by");
}

EditingMethod r_rome_method() {
  return method_of({"r-rome", "ROME with one key throughout, which stays stable over many edits", "arXiv 2403.07175",
                    "nothing, or a corpus or its second moment", false, true},
                   {"prefix", "prompt"}, "prefix: the mean key over the contexts; prompt: the bare request's key");
}

}  // namespace retune
