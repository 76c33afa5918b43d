// A prompt and the answer that it is to get, and the request that measures how far the model is from giving it.
//
//   LossGraphs losses = loss_graphs(bundle);                   // once a model
//   SuffixRequest suffix = lesson_request(session, bundle, losses, lesson, 0, varying);
//   suffix.request.loss = kLessonLoss;
//   suffix.request.wrt = {"decoder/model.layers.5.mlp.down_proj.weight"};
//   Results r = session.run(suffix.graph, bundle.parameters(), suffix.request);
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "graph/session.h"
#include "lalm/answer.h"
#include "lalm/bundle.h"
#include "lalm/prompt.h"

namespace retune {

// The linked graphs of a bundle with the losses of answer_loss.h behind the logits. They depend on no weight: one pair
// serves every edit of a model, and sharing it shares the Session's plans. A stack that adds nodes has other graphs:
// their pair is made when it is first asked for, and kept until another stack's is.
struct LossGraphs {
  std::shared_ptr<const Graph> sound;
  std::shared_ptr<const Graph> text;
  // The pair for a bundle on whatever stack. Thread-safe.
  LossGraphs for_bundle(const Bundle& bundle) const;
  // The one of for_bundle() that belongs to a suffix request for the bundle.
  std::shared_ptr<const Graph> for_request(const Bundle& bundle, const SuffixRequest& suffix) const;

  struct Stacked;                            // lesson.cc's own: the pair of a stack that adds nodes
  std::shared_ptr<const Graph> made_from{};  // the linked graph with audio; null: a pair that fits any stack
  std::shared_ptr<Stacked> stacked{};
};
LossGraphs loss_graphs(const Bundle& bundle);

// Names in these graphs.
inline constexpr const char* kLessonLoss = "loss";
inline constexpr const char* kDivergence = "divergence";
inline constexpr const char* kRetention = "retention";

// What the target is scored against (methods.md 5.1).
enum class Objective {
  kTargetNew,   // token t given the prompt and the t tokens before it
  kPromptLast,  // every token from the last prompt position (historic FT-L); sensible for one-token targets only
};

struct Lesson {
  Prompt prompt;
  std::vector<std::int64_t> target;  // ids, the end-of-turn token included
  double weight = 1;                 // the loss is weight / T * sum of -log p over the T target tokens
  Objective objective = Objective::kTargetNew;
};

// The ids of an answer as a target: the text directly after the prompt, without a leading space, then the template's
// end-of-turn token (methods.md 2.1). User error for an answer without tokens.
std::vector<std::int64_t> target_ids(const Bundle& bundle, const std::string& answer);

// The tokens of the target that the model is shown: all but the last, or none where all are scored from the prompt.
std::vector<std::int64_t> forced_ids(const Lesson& lesson);

// The request for rows [cut, P + T - 1) of prompt and target with the loss's inputs filled in; outputs are empty.
// `graph` is the loss graph. Errors as suffix_request; user error for an empty target.
SuffixRequest lesson_request(Session& session, const Bundle& bundle, const LossGraphs& losses, const Lesson& lesson,
                             std::int64_t cut, const std::vector<std::string>& varying = {});

}  // namespace retune
