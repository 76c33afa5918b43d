// Which option does a response choose? The extraction of judge J1, methods.md 8.4. Calibrated there against SAKE's
// published judge: comparable for reliability, generality and audio locality 1-3, only indicative for text locality and
// portability.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace retune {

// What decides when several options are named and no sentence names exactly one.
enum class MultiRule {
  kFirst,   // the first that is named
  kStrict,  // none: the response chose several
};

struct Extraction {
  enum class Kind { kEmpty, kOption, kNone, kMulti };
  Kind kind = Kind::kNone;
  int option = -1;              // index into the options, for kOption
  std::vector<int> named = {};  // distinct options named, by first occurrence
};

// Forms of an emotion or gender label that count as naming it ("happy": "happiness", "happily", "joy"), normalised,
// without the label itself; empty for other labels.
std::vector<std::string_view> label_variants(std::string_view normalized_label);

// `options` as printed. Options equal after normalisation count as the first of them. A sentence ends after '.', '!' or
// '?' before a blank, and at line breaks.
Extraction extract_option(std::string_view response, const std::vector<std::string>& options, MultiRule rule);

// Index of the first letter named in a response to a question with `count` lettered options: "(B)", "option B", a
// leading "B." or the letter alone; -1 if none is. 1 <= count <= 26.
int extract_letter(std::string_view response, int count);

}  // namespace retune
