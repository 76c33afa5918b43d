#include "recipes/clip_check.h"

#include <algorithm>
#include <set>
#include <string>

#include "audio/waveform.h"
#include "tensor/error.h"

namespace retune {

namespace {

struct Heard {
  double seconds = 0;
  std::optional<Error> error;
};

Heard listen(const ClipUse& use) {
  try {
    return {load_audible(use.clip.locate()).seconds(), {}};
  } catch (const Error& error) {
    return {0, Error(error.code(), fmt::format("{}: clip '{}': {}", use.user, use.clip.name(), error.what()))};
  }
}

// The first use of each file.
std::vector<const ClipUse*> first_uses(const std::vector<ClipUse>& uses) {
  std::vector<const ClipUse*> first;
  std::set<std::string> seen;
  for (const ClipUse& use : uses)
    if (seen.insert(use.clip.locate().string()).second) first.push_back(&use);
  return first;
}

}  // namespace

std::optional<Clip> check_clips(const std::vector<ClipUse>& uses, ThreadPool& pool, const Watch& watch) {
  // Between blocks it is told how far it is; within one each thread takes the next clip.
  constexpr std::size_t kBlock = 64;
  check_located(uses);
  const std::vector<const ClipUse*> clips = first_uses(uses);
  std::optional<Clip> longest;
  double seconds = -1;
  for (std::size_t begin = 0; begin < clips.size(); begin += kBlock) {
    std::vector<Heard> heard(std::min(kBlock, clips.size() - begin));
    pool.parallel_for(static_cast<std::int64_t>(heard.size()), 1, [&](std::int64_t from, std::int64_t to) {
      for (auto i = static_cast<std::size_t>(from); i < static_cast<std::size_t>(to); ++i)
        heard[i] = listen(*clips[begin + i]);
    });
    for (std::size_t i = 0; i < heard.size(); ++i) {
      if (heard[i].error) throw Error(*heard[i].error);
      if (heard[i].seconds <= seconds) continue;
      seconds = heard[i].seconds;
      longest = clips[begin + i]->clip;
    }
    watch.report({.stage = "listen",
                  .done = static_cast<std::int64_t>(begin + heard.size()),
                  .total = static_cast<std::int64_t>(clips.size())});
  }
  return longest;
}

}  // namespace retune
