// Einsum (12): sums of products over named axes, e.g. "bij,bjk->bik". General: any number of operands, an ellipsis that
// broadcasts, a letter twice in one operand (its diagonal), an implied output (letters that occur once, in alphabetical
// order, behind the ellipsis).
//
// It is a body of other operators. Operands are joined from the left, two at a time: letters that stand in nothing that
// follows are summed away early, and a pair becomes one batched matrix product
//
//   [batch..., rows..., shared...] x [batch..., shared..., columns...] -> [batch..., rows..., columns...]
//
// with transpositions before and behind, so that the work is done where products are fast, and gradients are those of
// its parts.
#include <algorithm>
#include <cctype>
#include <map>
#include <numeric>

#include "graph/ops/body.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"

namespace retune {

namespace {

// Axes are named by letters; those of the ellipsis are '0', '1', ... counted from the last one to the left.
using Labels = std::string;

constexpr int kMostEllipsisAxes = 10;

struct Equation {
  std::vector<Labels> operands;
  Labels result;
};

struct Term {
  ValueId value;
  Labels labels;
};

bool contains(const Labels& labels, char label) { return labels.find(label) != Labels::npos; }

Labels ellipsis_labels(int count) {
  Labels labels;
  for (int i = count; i-- > 0;) labels += static_cast<char>('0' + i);
  return labels;
}

// The labels of one operand of `rank` axes, or of the result, whose ellipsis has `ellipsis` axes.
Labels expand_term(const std::string& term, int rank, int ellipsis, const std::string& equation) {
  Labels labels;
  for (std::size_t i = 0; i < term.size(); ++i) {
    if (std::isalpha(static_cast<unsigned char>(term[i])) != 0) {
      labels += term[i];
    } else if (term.compare(i, 3, "...") == 0 && term.find("...", i + 3) == std::string::npos) {
      labels += ellipsis_labels(rank < 0 ? ellipsis : rank - static_cast<int>(term.size() - 3));
      i += 2;
    } else {
      throw user_error("equation '{}' is not one: '{}' is not a list of letters with at most one ellipsis", equation,
                       term);
    }
  }
  return labels;
}

int ellipsis_rank(const std::string& term, int rank, const std::string& equation) {
  const bool open = term.find("...") != std::string::npos;
  const int letters = static_cast<int>(term.size()) - (open ? 3 : 0), rest = rank - letters;
  if (rest < 0 || (rest > 0 && !open))
    throw user_error("equation '{}': '{}' does not name the {} axes of its operand", equation, term, rank);
  if (rest > kMostEllipsisAxes)
    throw user_error("equation '{}': an ellipsis of {} axes; expected at most {}", equation, rest, kMostEllipsisAxes);
  return rest;
}

std::string without_spaces(std::string text) {
  std::erase(text, ' ');
  return text;
}

Equation parse(const InferContext& c) {
  const std::string text = without_spaces(c.attributes().s("equation", ""));
  const std::size_t arrow = text.find("->");
  std::vector<std::string> terms(1);
  for (const char letter : text.substr(0, arrow)) {
    if (letter == ',')
      terms.emplace_back();
    else
      terms.back() += letter;
  }
  if (static_cast<int>(terms.size()) != c.input_count())
    throw user_error("equation '{}' has {} operands, the node {}", text, terms.size(), c.input_count());
  Equation equation;
  int ellipsis = 0;
  for (int i = 0; i < c.input_count(); ++i) {
    const std::string& term = terms[static_cast<std::size_t>(i)];
    const int rest = ellipsis_rank(term, c.shape(i).rank(), text);
    ellipsis = std::max(ellipsis, rest);
    equation.operands.push_back(expand_term(term, c.shape(i).rank(), 0, text));
  }
  const Labels all = std::accumulate(equation.operands.begin(), equation.operands.end(), Labels());
  if (arrow != std::string::npos) {
    equation.result = expand_term(text.substr(arrow + 2), -1, ellipsis, text);
  } else {
    equation.result = ellipsis_labels(ellipsis);
    Labels once;
    for (const char label : all)
      if (std::isalpha(static_cast<unsigned char>(label)) != 0 && std::count(all.begin(), all.end(), label) == 1)
        once += label;
    std::sort(once.begin(), once.end());
    equation.result += once;
  }
  for (const char label : equation.result)
    if (std::count(equation.result.begin(), equation.result.end(), label) != 1 || !contains(all, label))
      throw user_error("equation '{}': '{}' must stand once in the result, and in an operand", text, label);
  return equation;
}

class Contraction {
 public:
  explicit Contraction(GraphBuilder& builder) : b_(builder) {}

  // The extent of every label; 1 broadcasts where it meets another extent.
  void read_extents(const std::vector<Term>& terms) {
    for (const Term& term : terms) {
      const Shape shape = b_.shape(term.value);
      for (std::size_t i = 0; i < term.labels.size(); ++i) {
        std::int64_t& extent = extents_.emplace(term.labels[i], 1).first->second;
        const std::int64_t own = shape[static_cast<int>(i)];
        if (own != 1 && extent != 1 && own != extent)
          throw user_error("axis '{}' has the extents {} and {}", term.labels[i], extent, own);
        if (own != 1) extent = own;
      }
    }
  }

  // A letter that stands twice keeps the elements where both indices agree.
  Term diagonal(Term term) {
    for (std::size_t i = 0; i < term.labels.size(); ++i) {
      const std::size_t twin = term.labels.find(term.labels[i], i + 1);
      if (twin == Labels::npos) continue;
      term = diagonal_of(std::move(term), i, twin);
      --i;
    }
    return term;
  }

  // Sums away what none of `needed` names.
  Term keep_only(Term term, const Labels& needed) {
    std::vector<std::int64_t> axes;
    Labels kept;
    for (std::size_t i = 0; i < term.labels.size(); ++i) {
      if (contains(needed, term.labels[i]))
        kept += term.labels[i];
      else
        axes.push_back(static_cast<std::int64_t>(i));
    }
    if (axes.empty()) return term;
    return {b_.reduce_sum(term.value, axes, GraphBuilder::KeepDims::kNo), kept};
  }

  Term join(const Term& left, const Term& right, const Labels& needed);

  Term arrange(Term term, const Labels& order) {
    if (term.labels == order) return term;
    std::vector<std::int64_t> permutation;
    for (const char label : order) permutation.push_back(static_cast<std::int64_t>(term.labels.find(label)));
    return {b_.transpose(term.value, permutation), order};
  }

 private:
  std::int64_t product(const Labels& labels) const {
    std::int64_t result = 1;
    for (const char label : labels) result *= extents_.at(label);
    return result;
  }
  std::vector<std::int64_t> extents_of(const Term& term, const Labels& labels) const {
    const Shape shape = b_.shape(term.value);
    std::vector<std::int64_t> result;
    for (const char label : labels) result.push_back(shape[static_cast<int>(term.labels.find(label))]);
    return result;
  }
  Term diagonal_of(Term term, std::size_t i, std::size_t twin);
  // Extents of 1 that stand for more are repeated, where the label is in `which`.
  Term widen(Term term, const Labels& which);

  GraphBuilder& b_;
  std::map<char, std::int64_t> extents_;
};

Term Contraction::diagonal_of(Term term, std::size_t i, std::size_t twin) {
  Labels order;
  for (std::size_t at = 0; at < term.labels.size(); ++at)
    if (at != i && at != twin) order += term.labels[at];
  const char label = term.labels[i];
  std::vector<std::int64_t> permutation;
  for (std::size_t at = 0; at < term.labels.size(); ++at)
    if (at != i && at != twin) permutation.push_back(static_cast<std::int64_t>(at));
  permutation.push_back(static_cast<std::int64_t>(i));
  permutation.push_back(static_cast<std::int64_t>(twin));
  const Shape shape = b_.shape(term.value);
  const std::int64_t n = shape[static_cast<int>(i)];
  if (n != shape[static_cast<int>(twin)])
    throw user_error("axis '{}' stands twice in an operand, with the extents {} and {}", label, n,
                     shape[static_cast<int>(twin)]);
  // [rest..., n, n] as [rest, n n], of which every (n + 1)-th is on the diagonal.
  std::vector<std::int64_t> extents, indices;
  for (const std::int64_t at : permutation) extents.push_back(shape[static_cast<int>(at)]);
  extents.pop_back();
  std::vector<std::int64_t> flat(extents.begin(), extents.end() - 1);
  flat.push_back(n * n);
  for (std::int64_t k = 0; k < n; ++k) indices.push_back(k * (n + 1));
  const ValueId last_two = b_.transpose(term.value, permutation);
  const ValueId picked = b_.op("Gather", {b_.reshape(last_two, Shape(flat)), b_.ints(indices)},
                               {{"axis", static_cast<std::int64_t>(flat.size()) - 1}});
  return {picked, order + label};
}

Term Contraction::widen(Term term, const Labels& which) {
  const Shape shape = b_.shape(term.value);
  std::vector<std::int64_t> extents = shape.extents();
  for (std::size_t i = 0; i < extents.size(); ++i)
    if (contains(which, term.labels[i])) extents[i] = extents_.at(term.labels[i]);
  if (Shape(extents) == shape) return term;
  return {b_.op("Expand", {term.value, b_.ints(extents)}), term.labels};
}

Term Contraction::join(const Term& left, const Term& right, const Labels& needed) {
  Labels batch, rows, shared, columns;
  for (const char label : left.labels)
    if (contains(right.labels, label))
      (contains(needed, label) ? batch : shared) += label;
    else if (contains(needed, label))
      rows += label;
  for (const char label : right.labels)
    if (!contains(left.labels, label) && contains(needed, label)) columns += label;
  Term a = widen(keep_only(left, needed + right.labels), batch + shared),
       b = widen(keep_only(right, needed + left.labels), batch + shared);
  // A product reads either side the other way round, too, which saves a transposition.
  const bool swap_a = !rows.empty() && !shared.empty() && a.labels == batch + shared + rows,
             swap_b = !columns.empty() && !shared.empty() && b.labels == batch + columns + shared;
  if (!swap_a) a = arrange(std::move(a), batch + rows + shared);
  if (!swap_b) b = arrange(std::move(b), batch + shared + columns);
  std::vector<std::int64_t> extents = extents_of(a, batch + rows);
  const std::vector<std::int64_t> column_extents = extents_of(b, columns);
  const std::int64_t count = product(batch), k = product(shared), m = Shape(extents_of(a, rows)).numel(),
                     n = Shape(column_extents).numel();
  ValueId y;
  if (shared.empty() && (m == 1 || n == 1)) {
    // Nothing is summed: elementwise, with one side repeated.
    y = b_.mul(b_.reshape(a.value, {count, m, 1}), b_.reshape(b.value, {count, 1, n}));
  } else {
    using Swap = GraphBuilder::Swap;
    y = b_.matmul(b_.reshape(a.value, swap_a ? Shape{count, k, m} : Shape{count, m, k}),
                  b_.reshape(b.value, swap_b ? Shape{count, n, k} : Shape{count, k, n}),
                  swap_a ? Swap::kLastTwo : Swap::kNone, swap_b ? Swap::kLastTwo : Swap::kNone);
  }
  extents.insert(extents.end(), column_extents.begin(), column_extents.end());
  return {b_.reshape(y, Shape(extents)), batch + rows + columns};
}

Graph einsum_body(const InferContext& c) {
  if (c.input_count() == 0) throw user_error("an operand is needed");
  require_inputs(c, c.input_count());
  for (int i = 1; i < c.input_count(); ++i) require_same_dtype(c, 0, i);
  const Equation equation = parse(c);
  Body body(c);
  Contraction contraction(body.builder());
  std::vector<Term> terms;
  for (int i = 0; i < c.input_count(); ++i)
    terms.push_back({body.in(i), equation.operands[static_cast<std::size_t>(i)]});
  contraction.read_extents(terms);
  for (Term& term : terms) term = contraction.diagonal(std::move(term));
  Term sum = terms[0];
  for (std::size_t i = 1; i < terms.size(); ++i) {
    Labels needed = equation.result;
    for (std::size_t later = i + 1; later < terms.size(); ++later) needed += terms[later].labels;
    sum = contraction.join(sum, terms[i], needed);
  }
  sum = contraction.arrange(contraction.keep_only(std::move(sum), equation.result), equation.result);
  const ValueId y = sum.value == body.in(0) ? body.builder().op("Identity", {sum.value}) : sum.value;
  return body.finish({y});
}

}  // namespace

std::vector<Op> einsum_ops() { return {{.domain = "", .name = "Einsum", .since = 12, .body = einsum_body}}; }

}  // namespace retune
