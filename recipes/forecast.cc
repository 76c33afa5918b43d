#include "recipes/forecast.h"

#include <algorithm>
#include <limits>

namespace retune {

namespace {

std::size_t longest_question(const Fact& fact) {
  std::size_t longest = fact.request.question.size();
  for (const Probe& probe : fact.probes) longest = std::max(longest, probe.question.size());
  return longest;
}

}  // namespace

std::int64_t working_bytes(const Rehearsal& work, SessionOptions options) {
  options.cache_bytes = 0;
  options.rehearse = true;
  Session session(options);
  work(session);
  return session.peak_bytes();
}

std::int64_t kept_bytes(const Rehearsal& work, int threads) {
  Session session({.threads = threads, .cache_bytes = std::numeric_limits<std::int64_t>::max(), .rehearse = true});
  work(session);
  return session.kept_bytes();
}

Probe largest_probe(const std::vector<Probe>& probes, const std::optional<Clip>& longest) {
  Probe largest = *std::max_element(probes.begin(), probes.end(), [](const Probe& a, const Probe& b) {
    return a.question.size() < b.question.size();
  });
  if (longest) largest.clip = longest;
  return largest;
}

Fact largest_fact(const std::vector<Fact>& facts, const std::optional<Clip>& longest) {
  Fact largest = *std::max_element(facts.begin(), facts.end(), [](const Fact& a, const Fact& b) {
    return longest_question(a) < longest_question(b);
  });
  if (!longest) return largest;
  largest.request.clip = *longest;
  if (!largest.probes.empty()) largest.probes.front().clip = longest;
  return largest;
}

AskSettings rehearsed(AskSettings decoding, const Bundle& bundle, const Probe& probe) {
  const auto expected = static_cast<std::int64_t>(bundle.tokenizer().encode(probe.answer).size()) + 1;
  decoding.max_new_tokens = std::min(decoding.max_new_tokens, expected);
  return decoding;
}

}  // namespace retune
