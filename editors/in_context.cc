#include "editors/in_context.h"

#include <algorithm>

#include "editors/ike_system.h"
#include "editors/mechanisms/context_views.h"
#include "lalm/answer.h"
#include "tensor/error.h"
#include "weights/mapped_file.h"

namespace retune {

namespace {

// "1-3f2a9c0b7d51": version and the beginning of the SHA-256.
std::string system_text_name() { return "1-" + ContentHash::of(ike_system_text()).hex().substr(0, 12); }

bool shows(const CorpusItem& item, const EditRequest& request) {
  return item.demonstrates && equal_labels(item.demonstrates->old_label, request.old_label) &&
         equal_labels(item.demonstrates->new_label, request.new_label);
}

ContextClip clip_of(const Clip& clip) {
  const MappedFile file = MappedFile::open(clip.locate());
  const auto size = static_cast<std::int64_t>(file.bytes().size());
  return {clip.locate().filename().string(), Tensor::view(DType::kU8, {size}, file.bytes().data(), file.owner())};
}

// The turns of the first instance that shows the request's pair of labels; none if there is none.
std::vector<Demonstration> demonstrations_for(const EditRequest& request, const Corpus& corpus) {
  std::vector<Demonstration> turns;
  const auto first = std::find_if(corpus.items().begin(), corpus.items().end(),
                                  [&](const CorpusItem& item) { return shows(item, request); });
  for (auto item = first; item != corpus.items().end() && shows(*item, request) &&
                          item->demonstrates->instance == first->demonstrates->instance;
       ++item) {
    turns.push_back({{}, item->question, item->answer});
    if (item->clip) turns.back().clip = clip_of(*item->clip);
  }
  return turns;
}

class InContext : public Editor {
 public:
  InContext(EditorInfo info, Settings settings, bool demonstrate)
      : info_(std::move(info)), settings_(std::move(settings)), demonstrate_(demonstrate) {}
  const EditorInfo& info() const override { return info_; }
  const Settings& settings() const override { return settings_; }
  std::vector<Site> sites(const Bundle&) const override { return {}; }

  Prepared prepare(Session& session, const Bundle& bundle, const Corpus* corpus,
                   const StepObserver& observer) const override {
    const auto demonstrates = [](const CorpusItem& item) { return item.demonstrates.has_value(); };
    if (demonstrate_ &&
        (corpus == nullptr || std::none_of(corpus->items().begin(), corpus->items().end(), demonstrates)))
      throw user_error(
          "{} needs a corpus with demonstrations: name one as \"corpus\" in the recipe; retune facts --demonstrations "
          "makes it of training facts",
          info_.word);
    return Editor::prepare(session, bundle, corpus, observer);
  }

  Patch edit(Session& session, const Bundle& bundle, std::span<const EditRequest> requests, const Prepared& prepared,
             Rng, const StepObserver&) const override {
    Patch patch = empty_patch(*this, bundle, requests);
    patch.notes = {{"loss", {}}, {"updates", {0}}};
    if (requests.empty()) return patch;
    PromptContext context{std::string(ike_system_text()), {}};
    double without = 0;
    for (const EditRequest& request : requests) {
      if (request.old_label.empty())
        throw user_error(
            "request '{}': {} names the old label in the prompt; give it, as original_answer in the facts "
            "or as --old_answer",
            request.id, info_.word);
      ContextEdit edit{request.old_label, request.new_label, {}};
      if (demonstrate_) edit.demonstrations = demonstrations_for(request, *prepared.corpus);
      without += demonstrate_ && edit.demonstrations.empty() ? 1 : 0;
      context.edits.push_back(std::move(edit));
    }
    patch.context = std::move(context);
    if (!demonstrate_) return patch;
    patch.notes["demonstrations"] = {static_cast<double>(patch.context->demonstrations().size())};
    patch.notes["without_demonstrations"] = {without};
    patch.notes["left_out"] = {left_out(session, bundle, patch, requests.front())};
    return patch;
  }

 private:
  // How many demonstrations of the whole stack the first request's question has no positions for.
  static double left_out(Session& session, const Bundle& bundle, const Patch& patch, const EditRequest& request) {
    const Bundle told = bundle.with(std::make_shared<const Patch>(patch));
    return static_cast<double>(prompt_for(session, told, request.question, sound_of(request)).left_out);
  }

  EditorInfo info_;
  Settings settings_;
  bool demonstrate_;
};

// What both have but for word, summary and needs.
EditingMethod in_context_method(EditorInfo info) {
  EditingMethod method;
  method.info = std::move(info);
  method.info.paper = "arXiv 2305.12740, 2510.16917";
  method.info.batch = method.info.sequential = true;
  method.info.moves_weights = false;
  method.settings = {{"system_text",
                      Setting::Type::kText,
                      system_text_name(),
                      {},
                      {},
                      {system_text_name()},
                      "version and SHA-256 of the system message, so that results name it; this Retune has one"}};
  return method;
}

}  // namespace

EditingMethod i_ike_method() {
  EditingMethod method =
      in_context_method({"i-ike", "tells the model the edits in a system message; no weight changes", "", "nothing"});
  method.make = [](const EditorInfo& info, Settings settings) -> std::unique_ptr<const Editor> {
    return std::make_unique<InContext>(info, std::move(settings), false);
  };
  return method;
}

EditingMethod ie_ike_method() {
  EditingMethod method =
      in_context_method({"ie-ike", "i-ike, and shows the model each edit by the turns of a training instance", "",
                         "a corpus with demonstrations"});
  method.make = [](const EditorInfo& info, Settings settings) -> std::unique_ptr<const Editor> {
    return std::make_unique<InContext>(info, std::move(settings), true);
  };
  return method;
}

}  // namespace retune
