#include "lalm/site.h"

#include <algorithm>
#include <map>
#include <set>

#include "lalm/graph_structure.h"
#include "tensor/error.h"

namespace retune {

namespace {

class SiteFinder {
 public:
  explicit SiteFinder(const Graph& graph) : graph_(graph), structure_(graph) {}

  SiteMap run() {
    find_decoder();
    if (graph_.find("audio_features") != kNoValue) find_encoder();
    return std::move(map_);
  }

 private:
  struct Block {
    std::vector<ResidualSum> sums;  // in order of computation
  };

  bool is_attention(const ResidualSum& sum) const {
    return std::any_of(sum.nodes.begin(), sum.nodes.end(), [&](std::int32_t index) {
      const std::string& op = graph_.nodes()[static_cast<std::size_t>(index)].op;
      return op == "Softmax" || op == "Attention" || op == "MultiHeadAttention" || op == "GroupQueryAttention";
    });
  }

  // A block is what stands from one attention to the next: attention, cross-attention if any, MLP.
  std::vector<Block> blocks_of(std::vector<ResidualSum> sums) const {
    std::reverse(sums.begin(), sums.end());
    std::vector<Block> blocks;
    bool open = false;
    for (ResidualSum& sum : sums) {
      const bool attention = is_attention(sum);
      if (!open) blocks.emplace_back();
      blocks.back().sums.push_back(std::move(sum));
      open = attention;  // an MLP closes the block
    }
    return blocks;
  }

  std::string value_name(ValueId id) const { return id == kNoValue ? std::string() : graph_.value(id).name; }

  DeltaTarget target_of(ValueId parameter, bool transposed) const {
    const Value& value = graph_.value(parameter);
    return {.file = value.file,
            .initializer = value.initializer,
            .transposed = transposed,
            .slice = {},
            .stored = value.dtype,
            .sha256 = {}};
  }

  Site linear_site(const std::string& name, const LinearLayer& layer) const {
    Site site{.name = name,
              .kind = Site::Kind::kLinear,
              .key = value_name(layer.input),
              .value = value_name(layer.output),
              .in = layer.in,
              .out = layer.out,
              .weight = value_name(layer.weight),
              .delta_shape = {layer.out, layer.in},
              .targets = {target_of(layer.weight, layer.weight_is_transposed)},
              .bias = {}};
    if (layer.bias != kNoValue && graph_.value(layer.bias).kind == ValueKind::kParameter)
      site.bias = value_name(layer.bias);
    return site;
  }

  Site parameter_site(const std::string& name, ValueId parameter) const {
    Site site{.name = name,
              .kind = Site::Kind::kParameter,
              .key = {},
              .value = {},
              .in = 0,
              .out = 0,
              .weight = value_name(parameter),
              .delta_shape = *graph_.value(parameter).shape,
              .targets = {target_of(parameter, false)},
              .bias = {}};
    return site;
  }

  void add_linear(const std::string& name, const LinearLayer& layer) {
    if (!named_.insert(layer.node).second) return;
    map_.sites.push_back(linear_site(name, layer));
    claimed_.insert(layer.weight);
    if (map_.sites.back().bias) {
      map_.sites.push_back(parameter_site(name + ".bias", layer.bias));
      claimed_.insert(layer.bias);
    }
  }

  // Codes and what turns them into numbers; not edited.
  static bool is_quantised(const Node& node) {
    static const std::set<std::string> kOperators{
        "MatMulNBits", "MatMulBnb4",  "GatherBlockQuantized",  "MatMulInteger", "DequantizeLinear",
        "ConvInteger", "QLinearConv", "DynamicQuantizeMatMul", "QLinearMatMul"};
    return kOperators.contains(node.op);
  }

  // Parameters of a region that no linear site has: norms, convolutions, queries.
  void add_other_parameters(const std::string& prefix, const std::set<std::int32_t>& nodes) {
    int count = 0;
    for (const std::int32_t index : nodes) {
      const Node& node = graph_.nodes()[static_cast<std::size_t>(index)];
      if (is_quantised(node)) continue;
      for (const ValueId input : node.inputs) {
        if (input == kNoValue) continue;
        const ValueId origin = structure_.seen_through(input);
        if (graph_.value(origin).kind == ValueKind::kParameter && claimed_.insert(origin).second)
          map_.sites.push_back(parameter_site(fmt::format("{}.parameter.{}", prefix, count++), origin));
      }
    }
  }

  // The linear layer that writes to the stream, seen through scalar factors and norms.
  const LinearLayer* writer(const ResidualSum& sum) const {
    if (const LinearLayer* direct = structure_.linear_at(sum.branch)) return direct;
    const auto nearest = structure_.nearest_linears(sum.branch, sum.nodes);
    return nearest.size() == 1 ? nearest[0] : nullptr;
  }

  void add_attention(const std::string& prefix, const ResidualSum& sum) {
    const LinearLayer* out = writer(sum);
    if (!out) {
      map_.unmatched.push_back(prefix + ": no linear layer writes the attention branch");
      return;
    }
    for (const std::int32_t index : sum.nodes) {
      const Node& node = graph_.nodes()[static_cast<std::size_t>(index)];
      if (node.op == "MultiHeadAttention" || node.op == "GroupQueryAttention" || node.op == "Attention")
        name_projections(prefix, sum, {node.inputs[0], input_or_none(node, 1), input_or_none(node, 2)});
      const Node* softmax = node.op == "MatMul" ? graph_.producer(structure_.seen_through(node.inputs[0])) : nullptr;
      if (!softmax || softmax->op != "Softmax") continue;
      if (const Node* product = score_product(softmax->inputs[0]))
        name_projections(prefix, sum, {product->inputs[0], product->inputs[1], node.inputs[1]});
    }
    add_linear(prefix + ".o", *out);
  }

  static ValueId input_or_none(const Node& node, std::size_t i) {
    return i < node.inputs.size() ? node.inputs[i] : kNoValue;
  }

  // The product of queries and keys behind scale, mask and guards.
  const Node* score_product(ValueId id) const {
    for (int steps = 0; steps < 8; ++steps) {
      const Node* node = graph_.producer(structure_.seen_through(id));
      if (!node) return nullptr;
      if (node->op == "MatMul") return node;
      ValueId next = kNoValue;
      for (const ValueId input : node->inputs)
        if (input != kNoValue && graph_.value(input).kind == ValueKind::kComputed && next == kNoValue &&
            leads_to_product(input))
          next = input;
      if (next == kNoValue) return nullptr;
      id = next;
    }
    return nullptr;
  }

  bool leads_to_product(ValueId id) const {
    const auto nodes = structure_.nodes_between(id, {});
    return std::any_of(nodes.begin(), nodes.end(), [&](std::int32_t n) {
      return structure_.graph().nodes()[static_cast<std::size_t>(n)].op == "MatMul";
    });
  }

  // A layer that several of the three come from is packed: .qkv, .kv.
  void name_projections(const std::string& prefix, const ResidualSum& sum, const std::vector<ValueId>& operands) {
    std::vector<std::pair<const LinearLayer*, std::string>> found;
    for (std::size_t i = 0; i < 3; ++i) {
      if (operands[i] == kNoValue) continue;
      const auto linears = structure_.nearest_linears(operands[i], sum.nodes);
      if (linears.size() != 1) {
        map_.unmatched.push_back(fmt::format("{}.{}: {} linear layers", prefix, "qkv"[i], linears.size()));
        continue;
      }
      const auto packed =
          std::find_if(found.begin(), found.end(), [&](const auto& item) { return item.first == linears[0]; });
      if (packed == found.end())
        found.emplace_back(linears[0], std::string(1, "qkv"[i]));
      else
        packed->second += "qkv"[i];
    }
    for (const auto& [layer, letters] : found) add_linear(prefix + "." + letters, *layer);
  }

  void add_mlp(const std::string& prefix, const ResidualSum& sum, bool decoder) {
    const LinearLayer* down = writer(sum);
    if (!down) {
      map_.unmatched.push_back(prefix + ": no linear layer writes the MLP branch");
      return;
    }
    const auto sources = structure_.nearest_linears(down->input, sum.nodes);
    const Node* product = graph_.producer(structure_.seen_through(down->input));
    if (sources.size() == 2 && product && product->op == "Mul") {
      // act(gate) * up: the operand that is a linear layer itself is up.
      const bool first_is_up = structure_.linear_at(product->inputs[0]) != nullptr;
      const auto gate = structure_.nearest_linears(product->inputs[first_is_up ? 1 : 0], sum.nodes);
      const auto up = structure_.nearest_linears(product->inputs[first_is_up ? 0 : 1], sum.nodes);
      if (gate.size() == 1 && up.size() == 1) {
        add_linear(prefix + ".gate", *gate[0]);
        add_linear(prefix + ".up", *up[0]);
      }
    } else if (sources.size() == 1) {
      // Twice as wide as what the down-projection reads: gate and up in one matrix.
      const bool packed = sources[0]->out == 2 * down->in;
      add_linear(prefix + (packed ? ".gate_up" : decoder ? ".up" : ".fc1"), *sources[0]);
    } else {
      map_.unmatched.push_back(fmt::format("{}: {} linear layers lead to the down-projection", prefix, sources.size()));
    }
    add_linear(prefix + (decoder ? ".down" : ".fc2"), *down);
  }

  std::int64_t add_blocks(const std::string& part, const std::vector<ResidualSum>& spine, bool decoder) {
    const std::vector<Block> blocks = blocks_of(spine);
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      const std::string prefix = fmt::format("{}.block.{}", part, i);
      std::set<std::int32_t> nodes;
      int attentions = 0;
      for (const ResidualSum& sum : blocks[i].sums) {
        if (is_attention(sum))
          add_attention(prefix + (attentions++ == 0 ? ".attn" : ".cross"), sum);
        else
          add_mlp(prefix + ".mlp", sum, decoder);
        nodes.insert(sum.nodes.begin(), sum.nodes.end());
      }
      add_other_parameters(prefix, nodes);
      const ValueId after = blocks[i].sums.back().sum;
      if (after == kNoValue) continue;
      Site residual{.name = prefix + ".residual",
                    .kind = Site::Kind::kResidual,
                    .key = {},
                    .value = value_name(after),
                    .in = 0,
                    .out = width_of(blocks[i]),
                    .weight = {},
                    .delta_shape = {},
                    .targets = {},
                    .bias = {}};
      map_.sites.push_back(std::move(residual));
    }
    return static_cast<std::int64_t>(blocks.size());
  }

  std::int64_t width_of(const Block& block) const {
    const LinearLayer* last = writer(block.sums.back());
    return last ? last->out : 0;
  }

  void find_decoder() {
    // From the logits back to the head's linear layer, over casts, scalar factors, soft caps and row selection.
    const ValueId logits = graph_.require("logits");
    const auto all = structure_.nodes_between(logits, {});
    const LinearLayer* head = structure_.linear_at(logits);
    if (!head) {
      const auto nearest = structure_.nearest_linears(logits, all);
      if (nearest.size() != 1) {
        map_.unmatched.push_back(fmt::format("decoder: {} linear layers lead to the logits", nearest.size()));
        return;
      }
      head = nearest[0];
    }
    ValueId last = head->input;
    for (const Node* node = graph_.producer(structure_.seen_through(last));
         node && (node->op == "Gather" || node->op == "Slice") && structure_.norm_input(last) == kNoValue;
         node = graph_.producer(structure_.seen_through(last)))
      last = node->inputs[0];
    const ValueId normed = structure_.norm_input(last);
    const std::vector<ResidualSum> spine = structure_.spine(normed != kNoValue ? normed : last);
    if (spine.empty()) map_.unmatched.push_back("decoder: no residual stream leads to the logits");
    map_.blocks.decoder = add_blocks("decoder", spine, true);
    if (!spine.empty())
      if (const LinearLayer* down = writer(spine.front())) {
        map_.decoder_width = down->out;
        map_.decoder_hidden = down->in;
      }
    add_linear("decoder.head", *head);
  }

  // The first residual sum met on the way back from the features.
  std::optional<ResidualSum> last_encoder_sum(ValueId features) const {
    std::set<ValueId> seen;
    std::vector<ValueId> level{features};
    while (!level.empty()) {
      std::vector<ValueId> next;
      for (const ValueId id : level) {
        if (id == kNoValue || !seen.insert(id).second) continue;
        if (auto sum = structure_.sum_at(id); sum && structure_.seen_through(id) == id) return sum;
        if (const Node* node = graph_.producer(id)) next.insert(next.end(), node->inputs.begin(), node->inputs.end());
      }
      level = std::move(next);
    }
    return std::nullopt;
  }

  void find_encoder() {
    const ValueId features = graph_.find("audio_features");
    const auto last = last_encoder_sum(features);
    if (!last || last->sum == kNoValue) {
      map_.unmatched.push_back("encoder: no residual stream leads to the audio features");
      return;
    }
    const std::vector<ResidualSum> spine = structure_.spine(last->sum);
    // The encoder's own final norm is not the connector's.
    std::set<ValueId> start{last->sum};
    for (const std::int32_t index : structure_.nodes_between(features, {last->sum}))
      for (const ValueId output : graph_.nodes()[static_cast<std::size_t>(index)].outputs)
        if (output != kNoValue && structure_.norm_input(output) == last->sum) start.insert(output);
    const auto nodes = structure_.nodes_between(features, start);
    for (const LinearLayer& layer : structure_.linears())
      if (nodes.contains(layer.node)) add_linear(fmt::format("connector.{}", map_.blocks.connector_layers++), layer);
    add_other_parameters("connector", nodes);
    map_.blocks.encoder = add_blocks("encoder", spine, false);
    if (const LinearLayer* out = writer(spine.front())) map_.encoder_width = out->out;
  }

  const Graph& graph_;
  GraphStructure structure_;
  SiteMap map_;
  std::set<std::int32_t> named_;
  std::set<ValueId> claimed_;
};

}  // namespace

void require_editable(const Site& site) {
  for (const DeltaTarget& target : site.targets)
    if (!is_float(target.stored))
      throw user_error(
          "site '{}' is quantised: tensor '{}' in {} holds {} codes, which are not edited; edit the f32, f16 or bf16 "
          "file "
          "of the model",
          site.name, target.initializer, target.file, dtype_name(target.stored));
}

SiteMap find_sites(const Graph& linked) { return SiteFinder(linked).run(); }

}  // namespace retune
