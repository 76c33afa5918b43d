#include "eval/judge.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "eval/answer_text.h"
#include "eval/option_extraction.h"
#include "eval/task_labels.h"
#include "facts/option_list.h"
#include "tensor/error.h"

namespace retune {
namespace {

constexpr double kSameMessageF1 = 0.3;

bool asks_the_edit(const AnswerRecord& record) {
  return record.kind == ProbeKind::kReliability || record.kind == ProbeKind::kGenerality;
}

// The options to look for: the record's, else the question's, else the task's labels, to which the labels at stake
// always belong.
OptionList options_of(const AnswerRecord& record) {
  OptionList printed = parse_options(record.question);
  const bool lettered = printed.style == OptionStyle::kLettered;
  if (lettered && (record.options.empty() || record.options == printed.answers())) return printed;
  if (!record.options.empty()) return {OptionStyle::kListed, record.options};
  if (printed.style == OptionStyle::kListed) return printed;

  OptionList list;
  for (const std::string_view label : task_labels(record.track)) list.texts.emplace_back(label);
  const auto add = [&list](const std::string& label) {
    if (!label.empty() && find_label(list.texts, label) < 0) list.texts.push_back(label);
  };
  add(record.expected);
  if (asks_the_edit(record)) add(record.old_label);
  return list;
}

int option_index(const OptionList& list, const std::string& answer) {
  if (list.style == OptionStyle::kLettered) {
    if (const int letter = find_label(list.answers(), answer); letter >= 0) return letter;
  }
  const std::string wanted = normalized(answer);
  const auto found = std::find_if(list.texts.begin(), list.texts.end(),
                                  [&](const std::string& text) { return normalized(text) == wanted; });
  return found == list.texts.end() ? -1 : static_cast<int>(found - list.texts.begin());
}

Extraction extract(const OptionList& list, const std::string& response, MultiRule rule) {
  if (list.style == OptionStyle::kLettered) {
    const int letter = extract_letter(response, static_cast<int>(list.texts.size()));
    if (letter >= 0) return {Extraction::Kind::kOption, letter, {letter}};
  }
  return extract_option(response, list.texts, rule);
}

bool same_message(const std::string& a, const std::string& b) {
  return word_f1(normalized(a), normalized(b)) >= kSameMessageF1;
}

bool says_the_same(const OptionList& list, const std::string& before, const std::string& after, MultiRule rule) {
  if (before == after) return true;
  if (normalized(after).empty()) return false;
  if (list.style == OptionStyle::kLettered) {
    const int count = static_cast<int>(list.texts.size());
    const int letter_before = extract_letter(before, count);
    const int letter_after = extract_letter(after, count);
    return letter_before >= 0 && letter_after >= 0 ? letter_before == letter_after : same_message(before, after);
  }
  const Extraction one = extract_option(before, list.texts, rule);
  const Extraction other = extract_option(after, list.texts, rule);
  if (one.kind != other.kind) return false;
  if (one.kind == Extraction::Kind::kNone) return same_message(before, after);
  if (one.kind == Extraction::Kind::kOption) return one.option == other.option;
  return std::is_permutation(one.named.begin(), one.named.end(), other.named.begin(), other.named.end());
}

void judge_extraction(const AnswerRecord& record, MultiRule rule, Verdict& verdict) {
  const OptionList list = options_of(record);
  const int expected = option_index(list, record.expected);
  const int old = asks_the_edit(record) && !record.old_label.empty() ? option_index(list, record.old_label) : -1;
  const auto judge_one = [&](const std::optional<ProbeAnswer>& answer, std::optional<bool>& right,
                             std::optional<bool>& names_old) {
    if (!answer) return;
    const Extraction extraction = extract(list, answer->text, rule);
    right = extraction.option >= 0 && extraction.option == expected;
    if (old >= 0) names_old = extraction.option == old;
  };
  judge_one(record.before, verdict.right_before, verdict.old_before);
  judge_one(record.after, verdict.right_after, verdict.old_after);
  if (record.before && record.after)
    verdict.consistent = says_the_same(list, record.before->text, record.after->text, rule);
}

double option_value(Judge judge, const OptionScore& score) {
  if (judge == Judge::kLikelihoodSum) return score.logprob_sum;
  const int units = judge == Judge::kLikelihoodChar ? score.bytes : score.tokens;
  return units > 0 ? score.logprob_sum / units : std::nan("");
}

void judge_likelihood(Judge judge, const AnswerRecord& record, Verdict& verdict) {
  const auto best_of = [&](const std::optional<ProbeAnswer>& answer) {
    const auto preference = answer ? option_preference(judge, answer->option_scores) : std::nullopt;
    return preference ? std::optional(answer->option_scores[static_cast<std::size_t>(preference->best)].text)
                      : std::nullopt;
  };
  const std::optional<std::string> before = best_of(record.before);
  const std::optional<std::string> after = best_of(record.after);
  const bool has_old = asks_the_edit(record) && !record.old_label.empty();
  if (before) verdict.right_before = same_label(*before, record.expected);
  if (after) verdict.right_after = same_label(*after, record.expected);
  if (before && has_old) verdict.old_before = same_label(*before, record.old_label);
  if (after && has_old) verdict.old_after = same_label(*after, record.old_label);
  if (before && after) verdict.consistent = *before == *after;
}

void judge_exact_match(const AnswerRecord& record, Verdict& verdict) {
  const std::string expected = normalized(record.expected);
  const std::string old = asks_the_edit(record) ? normalized(record.old_label) : "";
  const auto judge_one = [&](const std::optional<ProbeAnswer>& answer, std::optional<bool>& right,
                             std::optional<bool>& names_old) {
    if (!answer) return;
    const std::string text = normalized(answer->text);
    right = !text.empty() && text == expected;
    if (!old.empty()) names_old = text == old;
  };
  judge_one(record.before, verdict.right_before, verdict.old_before);
  judge_one(record.after, verdict.right_after, verdict.old_after);
  if (record.before && record.after) {
    verdict.consistent = normalized(record.before->text) == normalized(record.after->text);
  }
}

}  // namespace

const char* judge_name(Judge judge) {
  switch (judge) {
    case Judge::kExtraction:
      return "J1";
    case Judge::kExtractionStrict:
      return "J1_strict";
    case Judge::kLikelihood:
      return "J2";
    case Judge::kLikelihoodSum:
      return "J2_sum";
    case Judge::kLikelihoodChar:
      return "J2_char";
    case Judge::kExactMatch:
      break;
  }
  return "J3";
}

Judge judge_from_name(std::string_view name) {
  std::string known;
  for (const Judge judge : kJudges) {
    if (name == judge_name(judge)) return judge;
    known += known.empty() ? judge_name(judge) : std::string(", ") + judge_name(judge);
  }
  throw user_error("no judge is called '{}'; expected one of {}", name, known);
}

int judge_version(Judge) { return 1; }

Verdict judge(Judge judge, const AnswerRecord& record) {
  Verdict verdict;
  verdict.judge = judge_name(judge);
  verdict.version = judge_version(judge);
  switch (judge) {
    case Judge::kExtraction:
      judge_extraction(record, MultiRule::kFirst, verdict);
      break;
    case Judge::kExtractionStrict:
      judge_extraction(record, MultiRule::kStrict, verdict);
      break;
    case Judge::kLikelihood:
    case Judge::kLikelihoodSum:
    case Judge::kLikelihoodChar:
      judge_likelihood(judge, record, verdict);
      break;
    case Judge::kExactMatch:
      judge_exact_match(record, verdict);
      break;
  }
  return verdict;
}

std::vector<Verdict> all_verdicts(const AnswerRecord& record) {
  std::vector<Verdict> verdicts;
  for (const Judge one : kJudges) verdicts.push_back(judge(one, record));
  return verdicts;
}

std::optional<OptionPreference> option_preference(Judge judge, const std::vector<OptionScore>& scores) {
  std::vector<double> values;
  for (const OptionScore& score : scores) values.push_back(option_value(judge, score));
  const bool unusable = std::any_of(values.begin(), values.end(), [](double v) { return !(v < INFINITY); });
  if (values.empty() || unusable) return std::nullopt;

  std::vector<int> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  const auto value = [&](int i) { return values[static_cast<std::size_t>(i)]; };
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return value(a) > value(b); });
  const double best = value(order[0]);
  if (std::isinf(best)) return std::nullopt;

  OptionPreference preference;
  preference.best = order[0];
  preference.margin = order.size() > 1 ? best - value(order[1]) : 0;
  preference.ranks.resize(values.size());
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    preference.ranks[static_cast<std::size_t>(order[rank])] = static_cast<int>(rank) + 1;
  }
  double total = 0;
  for (const double v : values) total += std::exp(v - best);
  for (const double v : values) preference.probabilities.push_back(std::exp(v - best) / total);
  return preference;
}

}  // namespace retune
