#include "graph/row_selection.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string_view>

#include "graph/graph_builder.h"
#include "graph/graph_copy.h"

namespace retune {

namespace {

// Operators of one operand that work element by element or within a row.
constexpr std::array kUnary = {"Identity", "Cast",  "Neg",       "Exp",      "Log",       "Sqrt",
                               "Erf",      "Tanh",  "Sigmoid",   "Relu",     "LeakyRelu", "Elu",
                               "Gelu",     "Swish", "HardSwish", "FastGelu", "QuickGelu"};
constexpr const char* kRowsSuffix = " rows";
constexpr std::array kBinary = {"Add", "Sub", "Mul", "Div"};
constexpr std::array kNorms = {"LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization"};

template <std::size_t N>
bool is_one_of(const Node& node, const std::array<const char*, N>& names) {
  return node.domain != "retune" &&
         std::any_of(names.begin(), names.end(), [&](const char* name) { return node.op == name; });
}

std::int64_t rows_of(const Shape& shape) { return shape.numel() / std::max<std::int64_t>(shape.back(), 1); }

// A Gather of rows at the end of a chain: of `whole`, which is read through `reshape` unless that is null.
struct Selection {
  std::int32_t gather = -1;
  std::int32_t reshape = -1;
  ValueId whole = kNoValue;
  ValueId indices = kNoValue;
};

class RowSelector {
 public:
  explicit RowSelector(const Graph& source)
      : source_(source), consumers_(source.consumers()), copy_(source), builder_(copy_.result()) {
    is_output_.assign(source.values().size(), false);
    for (const ValueId id : source.outputs) is_output_[static_cast<std::size_t>(id)] = true;
  }

  Graph run() {
    for (std::size_t index = 0; index < source_.nodes().size(); ++index)
      if (const auto found = selection(static_cast<std::int32_t>(index))) mark(*found);
    if (chains_.empty()) return source_;
    copy_.leaves();
    for (std::size_t index = 0; index < source_.nodes().size(); ++index) place(index);
    return copy_.finish();
  }

 private:
  const Shape& shape(ValueId id) const { return *source_.value(id).shape; }
  const Node& node(std::int32_t index) const { return source_.nodes()[static_cast<std::size_t>(index)]; }

  // Whether only node `reader` reads the value.
  bool read_by(ValueId id, std::int32_t reader) const {
    const auto& readers = consumers_[static_cast<std::size_t>(id)];
    return !is_output_[static_cast<std::size_t>(id)] && readers.size() == 1 && readers[0] == reader;
  }

  std::optional<Selection> selection(std::int32_t index) const {
    const Node& gather = node(index);
    if (gather.op != "Gather" || !gather.domain.empty() || gather.attributes.i("axis", 0) != 0) return std::nullopt;
    Selection s{.gather = index, .whole = gather.inputs[0], .indices = gather.inputs[1]};
    const Shape& flat = shape(s.whole);
    if (source_.value(s.whole).kind != ValueKind::kComputed || flat.rank() != 2 || shape(s.indices).rank() != 1 ||
        source_.value(s.indices).kind == ValueKind::kComputed || shape(s.indices).numel() > flat[0] / 2 ||
        !read_by(s.whole, index))
      return std::nullopt;
    const std::int32_t producer = source_.value(s.whole).producer;
    const Node& reshape = node(producer);
    if (reshape.op != "Reshape" || !reshape.domain.empty()) return s;
    if (shape(reshape.inputs[0]).rank() == 0 || shape(reshape.inputs[0]).back() != flat[1]) return std::nullopt;
    s.reshape = producer;
    s.whole = reshape.inputs[0];
    return read_by(s.whole, producer) ? std::optional(s) : std::nullopt;
  }

  // The operands of a node of which it reads the same rows as it computes; nothing if it does not work row by row.
  std::vector<std::size_t> row_operands(const Node& n) const {
    if (n.outputs.size() != 1 || n.inputs.empty()) return {};
    const Shape& out = shape(n.outputs[0]);
    if (out.rank() == 0 || n.inputs[0] == kNoValue) return {};
    if (is_one_of(n, kUnary)) return {0};
    if (is_one_of(n, kNorms)) {
      const std::int64_t axis = n.attributes.i("axis", -1);
      return axis == -1 || axis == out.rank() - 1 ? std::vector<std::size_t>{0} : std::vector<std::size_t>{};
    }
    if (n.op == "MatMul" || n.op == "FusedMatMul") {
      const bool plain =
          n.attributes.i("transA", 0) == 0 && shape(n.inputs[1]).rank() == 2 && shape(n.inputs[0]).rank() >= 2;
      return plain ? std::vector<std::size_t>{0} : std::vector<std::size_t>{};
    }
    return is_one_of(n, kBinary) ? binary_operands(n, out) : std::vector<std::size_t>{};
  }

  // Operands have the rows of the result, or are a row or a scalar that serves all of them.
  std::vector<std::size_t> binary_operands(const Node& n, const Shape& out) const {
    std::vector<std::size_t> operands;
    for (std::size_t i = 0; i < n.inputs.size(); ++i) {
      const Shape& operand = shape(n.inputs[i]);
      if (operand == out)
        operands.push_back(i);
      else if (operand.numel() != 1 && !(operand.rank() == 1 && operand[0] == out.back()))
        return {};
    }
    return operands;
  }

  // Finds which nodes a selection reaches, from the last to the first.
  void mark(const Selection& selection) {
    std::map<std::int32_t, std::vector<std::size_t>> chain;  // node -> its row operands
    std::vector<bool> wanted(source_.values().size(), false);
    wanted[static_cast<std::size_t>(selection.whole)] = true;
    const std::int32_t end = selection.reshape >= 0 ? selection.reshape : selection.gather;
    for (std::int32_t index = end - 1; index >= 0; --index) {
      const Node& n = node(index);
      if (n.outputs.empty() || n.outputs[0] == kNoValue || !wanted[static_cast<std::size_t>(n.outputs[0])]) continue;
      const ValueId out = n.outputs[0];
      const auto& readers = consumers_[static_cast<std::size_t>(out)];
      const bool only_here =
          !is_output_[static_cast<std::size_t>(out)] &&
          std::all_of(readers.begin(), readers.end(), [&](std::int32_t reader) {
            return reader == end || (chain.contains(reader) && reads_rows(chain.at(reader), reader, out));
          });
      const std::vector<std::size_t> operands = only_here ? row_operands(n) : std::vector<std::size_t>{};
      if (operands.empty()) continue;
      for (const std::size_t i : operands) wanted[static_cast<std::size_t>(n.inputs[i])] = true;
      chain.emplace(index, operands);
    }
    // Worth it where it saves a product.
    const bool saves = std::any_of(chain.begin(), chain.end(), [this](const auto& link) {
      const std::string& op = node(link.first).op;
      return op == "MatMul" || op == "FusedMatMul";
    });
    if (!saves) return;
    for (const auto& [index, operands] : chain) chain_of_[index] = chains_.size();
    chains_.push_back({selection, std::move(chain), {}});
  }

  // Whether a node of the chain reads the value nowhere but as an operand of which it takes the rows.
  bool reads_rows(const std::vector<std::size_t>& operands, std::int32_t reader, ValueId id) const {
    const Node& n = node(reader);
    for (std::size_t i = 0; i < n.inputs.size(); ++i)
      if (n.inputs[i] == id && std::find(operands.begin(), operands.end(), i) == operands.end()) return false;
    return true;
  }

  struct Chain {
    Selection selection;
    std::map<std::int32_t, std::vector<std::size_t>> nodes;
    std::map<ValueId, ValueId> selected;  // value of the source -> its chosen rows in the result
  };

  // For traces and messages; empty for a value without a name, or if the name is taken.
  std::string name_of_rows(ValueId id) {
    const std::string& whole = source_.value(id).name;
    const std::string name = whole.empty() ? "" : whole + kRowsSuffix;
    return source_.find(name) == kNoValue && copy_.result().find(name) == kNoValue ? name : "";
  }

  // The chosen rows [M, D] of a value.
  ValueId rows(Chain& chain, ValueId id) {
    if (const auto it = chain.selected.find(id); it != chain.selected.end()) return it->second;
    const Shape& whole = shape(id);
    const ValueId flat =
        whole.rank() == 2 ? copy_.at(id) : builder_.reshape(copy_.at(id), {rows_of(whole), whole.back()});
    return chain.selected[id] = builder_.op("Gather", {flat, copy_.at(chain.selection.indices)},
                                            {{"axis", std::int64_t{0}}}, name_of_rows(id));
  }

  void place(std::size_t index) {
    const auto number = static_cast<std::int32_t>(index);
    for (Chain& chain : chains_) {
      if (chain.selection.reshape == number) return;
      if (chain.selection.gather == number) {
        copy_.set(node(number).outputs[0], rows(chain, chain.selection.whole));
        return;
      }
    }
    const auto link = chain_of_.find(number);
    if (link == chain_of_.end())
      copy_.node(index);
    else
      place_rows(chains_[link->second], number);
  }

  // A node of a chain, on the chosen rows.
  void place_rows(Chain& chain, std::int32_t index) {
    Node n = node(index);
    const std::vector<std::size_t>& operands = chain.nodes.at(index);
    for (std::size_t i = 0; i < n.inputs.size(); ++i) {
      const bool is_row = std::find(operands.begin(), operands.end(), i) != operands.end();
      n.inputs[i] = is_row ? rows(chain, n.inputs[i]) : copy_.at(n.inputs[i]);
    }
    if (n.attributes.has("axis")) n.attributes.set("axis", std::int64_t{-1});  // of a norm, whose rank may change
    const Value& origin = source_.value(n.outputs[0]);
    const ValueId whole = n.outputs[0];
    Graph& result = copy_.result();
    const ValueId out = result.add_node(std::move(n), {name_of_rows(whole)})[0];
    result.value(out).dtype = origin.dtype;
    result.value(out).shape = Shape{shape(chain.selection.indices).numel(), origin.shape->back()};
    chain.selected[whole] = out;
  }

  const Graph& source_;
  std::vector<std::vector<std::int32_t>> consumers_;
  std::vector<bool> is_output_;
  std::vector<Chain> chains_;
  std::map<std::int32_t, std::size_t> chain_of_;  // node -> chain
  GraphCopy copy_;
  GraphBuilder builder_;
};

}  // namespace

Graph select_rows(const Graph& graph) { return RowSelector(graph).run(); }

}  // namespace retune
