#include "editors/mechanisms/locate.h"

#include <utility>

#include "tensor/error.h"

namespace retune {

namespace {

// The prompt whose answer is to stay. A selector of the question's text falls on the last position there: the text is
// not in it.
void ask_neutrally(Session& session, const Bundle& bundle, const EditRequest& request, Selector selector,
                   const Settings& settings, TargetProblem& problem) {
  if (selector.kind == Selector::Kind::kAttributeNoun || selector.kind == Selector::Kind::kTextSubject)
    selector = parse_selector("last_prompt");
  problem.kl_prompt = view_prompt(session, bundle, settings.at("kl_question").get<std::string>(), sound_of(request));
  problem.kl_reading = read_site(session, bundle, problem.site, selector, *problem.kl_prompt);
}

}  // namespace

std::vector<Setting> locate_settings(const std::string& default_site, const std::string& meaning) {
  return {{"site", Setting::Type::kText, default_site, {}, {}, {}, meaning},
          {"selector",
           Setting::Type::kText,
           "auto",
           {},
           {},
           {},
           "where the subject is: last_prompt, last_audio, mean_audio, audio_span(a,b), attr_noun_last, "
           "text_subject_last(s); auto: last_prompt in the decoder, mean_audio before it"}};
}

Site linear_site(const Bundle& bundle, const std::string& name, const std::string& method) {
  Site site = bundle.site(name);
  if (site.kind != Site::Kind::kLinear || site.key.empty() || site.weight.empty())
    throw user_error("{}: site '{}' is not a linear layer; choose one such as decoder.block.3.mlp.down", method,
                     site.name);
  require_editable(site);
  return site;
}

Selector subject_at(const Bundle& bundle, const Site& site, const EditRequest& request, const Settings& settings) {
  const std::string spelling = settings.at("selector").get<std::string>();
  if (spelling == "auto")
    return parse_selector(site_axis(*bundle.graph(), site.value) == SiteAxis::kAudio ? "mean_audio" : "last_prompt");
  Selector selector = parse_selector(spelling);
  if (selector.kind == Selector::Kind::kAttributeNoun) selector.text = request.attribute;
  return selector;
}

LocatedRequest locate(Session& session, const Bundle& bundle, const LossGraphs& losses, const Site& site,
                      const EditRequest& request, const Settings& settings, const Rng& rng,
                      const StepObserver& observer) {
  LocatedRequest located;
  located.selector = subject_at(bundle, site, request, settings);
  located.views = context_views(session, bundle, request, context_options(settings), rng);
  located.readings = read_site(session, bundle, site, located.selector, located.views);
  const TargetOptions options = target_options(settings);
  TargetProblem problem{site,         located.views, located.readings, target_ids(bundle, request.new_label),
                        std::nullopt, std::nullopt};
  if (options.kl_weight > 0) ask_neutrally(session, bundle, request, located.selector, settings, problem);
  located.target = optimize_target(session, bundle, losses, problem, options, observer);
  return located;
}

}  // namespace retune
