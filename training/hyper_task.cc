#include "training/hyper_task.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "lalm/answer.h"
#include "learning/site_weight.h"
#include "tensor/error.h"

namespace retune {

namespace {

constexpr std::int64_t kLongestAnswer = 32;  // tokens: of the base's answers, which are compared so far

template <class Action>
auto about(const HyperItem& item, Action action) {
  try {
    return action();
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}: {}", item.id, error.what()));
  }
}

Prompt prompt_of(HyperTask& task, const HyperItem& item) {
  const Feed audio = item.clip ? audio_feed(task.base, item.clip->locate()) : Feed{};
  AnswerOptions options;
  options.varying = task.parameters;
  return prompt_for(task.session, task.base, item.question, audio, options);
}

Lesson lesson_of(HyperTask& task, const HyperItem& item) {
  return about(item,
               [&] { return Lesson{.prompt = prompt_of(task, item), .target = target_ids(task.base, item.answer)}; });
}

// f32 [rows, V], of logits: natural logarithms.
Tensor log_softmax(const Tensor& logits) {
  const Tensor from = logits.cast(DType::kF32);
  const std::int64_t width = from.shape()[1];
  Tensor result = Tensor::empty(DType::kF32, from.shape());
  for (std::int64_t r = 0; r < from.shape()[0]; ++r) {
    const float* row = from.data<float>() + r * width;
    const auto largest = static_cast<double>(*std::max_element(row, row + width));
    double sum = 0;
    for (std::int64_t v = 0; v < width; ++v) sum += std::exp(static_cast<double>(row[v]) - largest);
    const double shift = largest + std::log(sum);
    for (std::int64_t v = 0; v < width; ++v)
      result.mutable_data<float>()[r * width + v] = static_cast<float>(static_cast<double>(row[v]) - shift);
  }
  return result;
}

// The sites' dL/dW', summed over items.
class WeightGradients {
 public:
  explicit WeightGradients(HyperTask& task) : task_(task) {
    for (const Site& site : task.sites) sums_.push_back(Tensor::zeros(DType::kF32, site.delta_shape));
  }

  const std::vector<Tensor>& sums() const { return sums_; }

  // Adds `weight` times the gradient of the value `loss` of the request; returns the loss.
  double add(SuffixRequest& suffix, const char* loss, double weight, const Bundle& edited) {
    suffix.request.outputs = {loss};
    suffix.request.loss = loss;
    // A question without sound does not reach encoder and connector.
    for (const std::string& name : task_.parameters)
      if (suffix.graph->find(name) != kNoValue) suffix.request.wrt.push_back(name);
    const Results results = task_.session.run(suffix.graph, edited.parameters(), suffix.request);
    for (std::size_t i = 0; i < sums_.size(); ++i)
      for (const DeltaTarget& target : task_.sites[i].targets)
        for (const std::string& name : parameters_of(task_.base.view(), target)) {
          if (!results.has("grad:" + name)) continue;
          const Tensor part =
              site_part(results["grad:" + name].tensor.cast(DType::kF32), task_.sites[i].delta_shape, target);
          float* to = sums_[i].mutable_data<float>();
          for (std::int64_t k = 0; k < part.numel(); ++k) to[k] += static_cast<float>(weight) * part.data<float>()[k];
        }
    return static_cast<double>(results[loss].tensor.cast(DType::kF32).data<float>()[0]);
  }

 private:
  HyperTask& task_;
  std::vector<Tensor> sums_;
};

// The request whose value kRetention says how far a model is from what the base says.
SuffixRequest retention_request(HyperTask& task, const HyperItem& item, HyperLoss::Locality where) {
  const Lesson lesson = lesson_of(task, item);
  SuffixRequest suffix = lesson_request(task.session, task.base, task.losses, lesson, 0, task.parameters);
  const std::int64_t end = lesson.prompt.length() + static_cast<std::int64_t>(lesson.target.size()) - 1;
  const std::int64_t begin = where == HyperLoss::Locality::kEverywhere ? 0 : lesson.prompt.length() - 1;
  std::vector<std::int64_t> rows(static_cast<std::size_t>(end - begin));
  std::iota(rows.begin(), rows.end(), begin);
  Request before = suffix.request;
  before.outputs = {"logits"};
  before.rows["logits"] = rows;
  const Tensor logits = task.session.run(suffix.graph, task.base.parameters(), before)["logits"].tensor;
  suffix.request.inputs["retention_rows"] = {Tensor::vector(rows)};
  suffix.request.inputs["retention_reference"] = {log_softmax(logits)};
  return suffix;
}

// Whether each token of the target is the likeliest after those before it: then greedy generation gives it.
bool gives(HyperTask& task, const Bundle& model, const Prompt& prompt, const std::vector<std::int64_t>& target) {
  const std::vector<std::int64_t> fed(target.begin(), target.end() - 1);
  const Tensor logits =
      logits_of(task.session, model, prompt, fed, prompt.length() - 1, task.parameters).cast(DType::kF32);
  const std::int64_t width = logits.shape()[1];
  for (std::size_t t = 0; t < target.size(); ++t) {
    const float* row = logits.data<float>() + static_cast<std::int64_t>(t) * width;
    if (std::max_element(row, row + width) - row != target[t]) return false;
  }
  return true;
}

}  // namespace

HyperItem item_of(const EditRequest& request) {
  return {request.id, request.clip == Clip() ? std::nullopt : std::optional(request.clip), request.question,
          request.new_label};
}

HyperItem item_of(const Probe& probe) { return {probe.id, probe.clip, probe.question, probe.answer}; }

bool is_locality(const Probe& probe) {
  return probe.kind == ProbeKind::kAudioLocality || probe.kind == ProbeKind::kTextLocality;
}

bool answers_so(HyperTask& task, const Bundle& model, const HyperItem& item) {
  const Lesson lesson = lesson_of(task, item);
  return gives(task, model, lesson.prompt, lesson.target);
}

bool answers_as_before(HyperTask& task, const Bundle& model, const HyperItem& item) {
  return about(item, [&] {
    const Prompt prompt = prompt_of(task, item);
    AnswerOptions options;
    options.max_new_tokens = kLongestAnswer;
    options.varying = task.parameters;
    const Answer before = answer(task.session, task.base, prompt, options);
    return answer(task.session, model, prompt, options).ids == before.ids;
  });
}

HyperTask::HyperTask(Session& given, Bundle bundle, std::vector<Site> edited)
    : session(given), base(std::move(bundle)), losses(loss_graphs(base)), sites(std::move(edited)) {
  std::set<std::string> names;
  for (const Site& site : sites)
    for (const DeltaTarget& target : site.targets)
      for (std::string& name : parameters_of(base.view(), target)) names.insert(std::move(name));
  parameters.assign(names.begin(), names.end());
}

EditSignal request_signal(HyperTask& task, const EditRequest& request) {
  const Lesson lesson = lesson_of(task, item_of(request));
  return edit_signal(task.session, task.base, task.losses, task.sites, {&lesson, 1});
}

Bundle edited_by(HyperTask& task, const HyperNetwork& network, const EditSignal& signal) {
  const ModelView& view = task.base.view();
  Patch patch;
  patch.method = "hyper-network";
  patch.graph_hash = view.graph_hash();
  patch.files = view.files();
  patch.beneath = view.patch_ids();
  patch.deltas = deltas_of(view, task.sites, network.changes(task.session, signal));
  return task.base.with(std::make_shared<const Patch>(std::move(patch)));
}

HyperGradient hyper_gradient(HyperTask& task, const HyperNetwork& network, const EditSignal& signal, const Fact& fact,
                             const HyperLoss& loss) {
  const Bundle edited = edited_by(task, network, signal);
  WeightGradients weights(task);
  HyperGradient result;
  for (const Probe& probe : fact.probes) {
    const HyperItem item = item_of(probe);
    if (probe.kind == ProbeKind::kGenerality) {
      const Lesson lesson = lesson_of(task, item);
      SuffixRequest suffix = lesson_request(task.session, task.base, task.losses, lesson, 0, task.parameters);
      result.edit_loss += weights.add(suffix, kLessonLoss, loss.edit_weight, edited);
    } else if (is_locality(probe)) {
      SuffixRequest suffix = about(item, [&] { return retention_request(task, item, loss.locality); });
      result.locality_loss += weights.add(suffix, kRetention, loss.locality_weight, edited);
    }
  }
  result.gradients = network.pull_back(task.session, signal, weights.sums());
  return result;
}

}  // namespace retune
