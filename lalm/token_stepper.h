// Continues a prompt token by token, with the decoder's cache.
//
// The first steps ask with the cache as long as it is; from then on the cache has room to grow, and what is unused is
// masked, so that one plan serves all steps of a capacity. Whether a decoder heeds its mask is asked of it, at the step
// where the ways part: one whose logits then differ goes on with exact caches. How a step is asked depends on the
// prompt and the step alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lalm/segment.h"

namespace retune {

class TokenStepper {
 public:
  // `past` is the cache after the whole prompt. All but `past` outlive the stepper.
  TokenStepper(Session& session, const Bundle& bundle, const Prompt& prompt, const std::vector<std::string>& varying,
               Past past);

  // Reads `id` at the next position. Logits [1, V] of the token after it.
  Tensor step(std::int64_t id);

 private:
  // A cache tensor [1, heads, capacity, width] of which the stepper alone writes the rows.
  using Room = std::map<std::string, Tensor, std::less<>>;  // by past_* name

  Results ask(const Segment& segment, Request::Cache cache, std::int64_t id) const;
  Tensor exact_step(std::int64_t id);
  Tensor roomy_step(std::int64_t id);
  void make_room();

  Session& session_;
  const Bundle& bundle_;
  const Prompt& prompt_;
  const std::vector<std::string>& varying_;
  Past past_;  // while exact
  Room room_;
  std::int64_t length_ = 0;    // of the cache's used rows
  std::int64_t capacity_ = 0;  // of room_
  std::int64_t steps_ = 0;
  enum class Way { kExact, kRoomy, kExactForGood } way_ = Way::kExact;
};

}  // namespace retune
