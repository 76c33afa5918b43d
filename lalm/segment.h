// A stretch of a prompt given the cache of everything before it: the one form in which a decoder is asked anything.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "lalm/answer.h"

namespace retune {

// The decoder's cache, by the names of its past_* inputs.
using Past = std::map<std::string, Feed, std::less<>>;

// Rows [begin, end) of a prompt's ids.
struct Segment {
  std::int64_t begin = 0, end = 0;
  Past past{};  // empty for begin = 0
  // Rows at the end of `past` that hold nothing yet and are masked: a cache with room to grow has the same shape from
  // token to token.
  std::int64_t unused = 0;
};

// The request without outputs. User error if the decoder has fewer positions than segment.end.
SuffixRequest segment_request(const Bundle& bundle, const Prompt& prompt, const std::vector<std::int64_t>& ids,
                              const Segment& segment, const std::vector<std::string>& varying);

// Adds the cache after the segment to the outputs of a request, and takes it from the results.
void ask_for_cache(const Bundle& bundle, Request& request);
Past past_from(const Bundle& bundle, const Results& results);

}  // namespace retune
