#include "lalm/token_stepper.h"

#include <cstring>

#include "lalm/check.h"

namespace retune {

namespace {

// Answers to questions are a few tokens long: so many steps cost less with their own plans, which other questions of
// the same length share.
constexpr std::int64_t kExactSteps = 4;
constexpr std::int64_t kRoom = 64;  // capacities are multiples of it

std::int64_t capacity_for(std::int64_t rows) { return (rows + kRoom - 1) / kRoom * kRoom; }

// Rows [begin, begin + count) of axis 2 of every head, to rows from `at` on.
void copy_rows(const Tensor& from, std::int64_t begin, std::int64_t count, Tensor& to, std::int64_t at) {
  const Shape& source = from.shape();
  const auto row = static_cast<std::size_t>(source[3]) * dtype_size(from.dtype());
  for (std::int64_t head = 0; head < source[0] * source[1]; ++head)
    std::memcpy(to.mutable_raw() + static_cast<std::size_t>(head * to.shape()[2] + at) * row,
                from.raw() + static_cast<std::size_t>(head * source[2] + begin) * row,
                static_cast<std::size_t>(count) * row);
}

// Whether two rows of logits are the same but for rounding, which is coarser in 16-bit activations.
bool agree(const Tensor& a, const Tensor& b) { return range_difference(a, b) <= (is_half(a.dtype()) ? 3e-2 : 1e-3); }

Tensor row_of(const Tensor& logits) { return logits.reshaped({logits.shape()[1], logits.shape()[2]}); }

}  // namespace

TokenStepper::TokenStepper(Session& session, const Bundle& bundle, const Prompt& prompt,
                           const std::vector<std::string>& varying, Past past)
    : session_(session),
      bundle_(bundle),
      prompt_(prompt),
      varying_(varying),
      past_(std::move(past)),
      length_(prompt.length()) {}

Results TokenStepper::ask(const Segment& segment, Request::Cache cache, std::int64_t id) const {
  // Only the last id is read.
  std::vector<std::int64_t> ids(static_cast<std::size_t>(segment.end), id);
  SuffixRequest step = segment_request(bundle_, prompt_, ids, segment, varying_);
  step.request.cache = cache;
  step.request.outputs.push_back("logits");
  ask_for_cache(bundle_, step.request);
  return session_.run(step.graph, bundle_.parameters(), step.request);
}

Tensor TokenStepper::exact_step(std::int64_t id) {
  const Results results = ask({.begin = length_, .end = length_ + 1, .past = past_}, Request::Cache::kUse, id);
  past_ = past_from(bundle_, results);
  return row_of(results["logits"].tensor);
}

// Copies the used rows into tensors of the next capacity.
void TokenStepper::make_room() {
  const std::int64_t capacity = capacity_for(length_ + 1);
  Room larger;
  for (const auto& cache : bundle_.decoder().caches)
    for (const std::string& name : {cache.past_key, cache.past_value}) {
      const Tensor& used = room_.empty() ? past_.at(name).tensor : room_.at(name);
      const Shape& shape = used.shape();
      Tensor& tensor = larger[name] = Tensor::zeros(used.dtype(), {shape[0], shape[1], capacity, shape[3]});
      copy_rows(used, 0, length_, tensor, 0);
    }
  room_ = std::move(larger);
  capacity_ = capacity;
}

Tensor TokenStepper::roomy_step(std::int64_t id) {
  if (length_ == capacity_) make_room();
  Segment segment{.begin = length_, .end = length_ + 1, .unused = capacity_ - length_};
  for (const auto& [name, tensor] : room_) segment.past[name] = {tensor, {}};
  // The rows are written in place, so nothing may be kept by what they hold.
  const Results results = ask(segment, Request::Cache::kOff, id);
  for (const auto& cache : bundle_.decoder().caches)
    for (const auto& [past, present] :
         {std::pair{cache.past_key, cache.present_key}, {cache.past_value, cache.present_value}})
      copy_rows(results[present].tensor, capacity_, 1, room_.at(past), length_);
  return row_of(results["logits"].tensor);
}

Tensor TokenStepper::step(std::int64_t id) {
  Tensor logits;
  if (way_ == Way::kExact && steps_ == kExactSteps) {
    make_room();
    const Tensor roomy = roomy_step(id);
    logits = exact_step(id);
    way_ = agree(logits, roomy) ? Way::kRoomy : Way::kExactForGood;
    if (way_ == Way::kRoomy)
      past_.clear();
    else
      room_.clear();
  } else {
    logits = way_ == Way::kRoomy ? roomy_step(id) : exact_step(id);
  }
  ++steps_;
  ++length_;
  return logits;
}

}  // namespace retune
