#include "learning/lesson.h"

#include <mutex>
#include <stdexcept>

#include "learning/answer_loss.h"
#include "tensor/error.h"

namespace retune {

namespace {

std::shared_ptr<const Graph> with_losses(const Graph& linked) {
  Graph graph = linked;
  append_answer_loss(graph, kLessonLoss);
  append_divergence_loss(graph, kDivergence);
  append_retention_loss(graph, kRetention);
  return std::make_shared<const Graph>(std::move(graph));
}

}  // namespace

struct LossGraphs::Stacked {
  std::mutex mutex;
  std::shared_ptr<const Graph> made_from, sound, text;
};

LossGraphs loss_graphs(const Bundle& bundle) {
  return {with_losses(*bundle.graph()), with_losses(*bundle.text_graph()), bundle.graph(),
          std::make_shared<LossGraphs::Stacked>()};
}

LossGraphs LossGraphs::for_bundle(const Bundle& bundle) const {
  if (!sound || !text)
    throw std::logic_error("loss graphs are missing: prepare() of the editor, or loss_graphs(), makes them");
  if (!made_from || bundle.graph() == made_from) return *this;
  const std::lock_guard lock(stacked->mutex);
  if (stacked->made_from != bundle.graph()) {
    stacked->sound = with_losses(*bundle.graph());
    stacked->text = with_losses(*bundle.text_graph());
    stacked->made_from = bundle.graph();
  }
  return {stacked->sound, stacked->text, stacked->made_from, stacked};
}

std::shared_ptr<const Graph> LossGraphs::for_request(const Bundle& bundle, const SuffixRequest& suffix) const {
  const LossGraphs pair = for_bundle(bundle);
  return suffix.graph == bundle.graph() ? pair.sound : pair.text;
}

std::vector<std::int64_t> target_ids(const Bundle& bundle, const std::string& answer) {
  std::vector<std::int64_t> ids = bundle.tokenizer().encode(answer);
  if (ids.empty()) throw user_error("the answer '{}' has no tokens", answer);
  const auto& end = bundle.chat().end_of_turn();
  ids.push_back(end.empty() ? bundle.end_ids().at(0) : bundle.tokenizer().require_id(end[0]));
  return ids;
}

std::vector<std::int64_t> forced_ids(const Lesson& lesson) {
  if (lesson.target.empty()) throw user_error("a target needs at least one token");
  if (lesson.objective == Objective::kPromptLast) return {};
  return {lesson.target.begin(), lesson.target.end() - 1};
}

SuffixRequest lesson_request(Session& session, const Bundle& bundle, const LossGraphs& losses, const Lesson& lesson,
                             std::int64_t cut, const std::vector<std::string>& varying) {
  const bool forced = lesson.objective == Objective::kTargetNew;
  SuffixRequest suffix = suffix_request(session, bundle, lesson.prompt, forced_ids(lesson), cut, varying);
  const auto tokens = static_cast<std::int64_t>(lesson.target.size());
  std::vector<std::int64_t> rows;
  for (std::int64_t t = 0; t < tokens; ++t) rows.push_back(lesson.prompt.length() - 1 - suffix.cut + (forced ? t : 0));
  const auto weight = static_cast<float>(lesson.weight / static_cast<double>(tokens));
  suffix.request.inputs["label_rows"] = {Tensor::vector<std::int64_t>(rows), {}};
  suffix.request.inputs["labels"] = {Tensor::vector<std::int64_t>(lesson.target), {}};
  suffix.request.inputs["label_weights"] = {Tensor::vector<float>(std::vector<float>(rows.size(), weight)), {}};
  suffix.graph = losses.for_request(bundle, suffix);
  return suffix;
}

}  // namespace retune
