// Offline judges (methods.md 8.4, 8.5), side by side. A judge is a pure function of one record.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eval/answer_record.h"

namespace retune {

enum class Judge {
  kExtraction,        // "J1": the option that the response names, the first of several
  kExtractionStrict,  // "J1_strict": several named options are wrong
  kLikelihood,        // "J2": the option of the largest log-likelihood per token
  kLikelihoodSum,     // "J2_sum": of the largest log-likelihood
  kLikelihoodChar,    // "J2_char": per byte of UTF-8
  kExactMatch,        // "J3": the response is the answer after normalisation, a strict lower bound
};

inline constexpr std::array<Judge, 6> kJudges = {Judge::kExtraction,    Judge::kExtractionStrict, Judge::kLikelihood,
                                                 Judge::kLikelihoodSum, Judge::kLikelihoodChar,   Judge::kExactMatch};

const char* judge_name(Judge judge);
// A user error that lists the names on any other word.
Judge judge_from_name(std::string_view name);
// Grows when a judge may decide otherwise on the same record.
int judge_version(Judge judge);

// Correctness J_c and consistency J_s:
//   J1: correct if the extracted option is the expected one. Consistent: identical responses; else not if the second is
//   empty; both
//       without an option: word F1 >= 0.3; else the same option. Lettered options compare the first letter named, and
//       word F1 where one names none. J1_strict counts two responses that name the same several options as consistent.
//   J2: correct if the best-scored option is the expected one, consistent if the best is the same; ties go to the
//   earlier option;
//       no verdict without option scores or if one of them is NaN.
//   J3: equality of normalised texts.
// A consistency needs both answers; nothing is said of an answer that is absent.
Verdict judge(Judge judge, const AnswerRecord& record);

// The verdicts of all judges, in the order of kJudges: what results.jsonl keeps.
std::vector<Verdict> all_verdicts(const AnswerRecord& record);

// J2's view of one answer.
struct OptionPreference {
  int best = -1;                      // index of the best-scored option
  double margin = 0;                  // its score less the second's, nats per the judge's unit; 0 for a single option
  std::vector<double> probabilities;  // softmax of the scores over the options
  std::vector<int> ranks;             // 1 is best; ties in order of the options
};
// Absent without scores or with a NaN among them, or if all are -inf. `judge` is one of the three likelihood judges.
std::optional<OptionPreference> option_preference(Judge judge, const std::vector<OptionScore>& scores);

}  // namespace retune
