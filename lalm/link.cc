#include "lalm/link.h"

#include <map>

#include "graph/graph_builder.h"
#include "tensor/error.h"

namespace retune {

namespace {

// Copies `source` into `target` with every name behind `prefix`. Inputs in `bound` become those values; the others
// become inputs of the target under their own names. Returns the target's ids of the source's outputs by name.
std::map<std::string, ValueId> append(Graph& target, const Graph& source, const std::string& prefix,
                                      const std::map<std::string, ValueId>& bound) {
  std::vector<ValueId> ids(source.values().size(), kNoValue);
  for (std::size_t i = 0; i < source.values().size(); ++i) {
    const Value& value = source.values()[i];
    if (value.kind == ValueKind::kInput) {
      const auto it = bound.find(value.name);
      if (it != bound.end()) {
        ids[i] = it->second;
        continue;
      }
      ids[i] = target.add_input(value.name, value.dtype);
      target.value(ids[i]).declared = value.declared;
      target.value(ids[i]).shape = value.shape;
    } else if (value.kind == ValueKind::kParameter) {
      ids[i] = target.add_parameter(prefix + value.name, value.dtype, *value.shape, value.file, value.initializer);
    } else if (value.kind == ValueKind::kConstant) {
      ids[i] = target.add_constant(value.constant, value.name.empty() ? "" : prefix + value.name);
      target.value(ids[i]).file = value.file;
      target.value(ids[i]).initializer = value.initializer;
    }
  }
  for (const Node& node : source.nodes()) {
    Node copy = node;
    for (ValueId& id : copy.inputs)
      if (id != kNoValue) id = ids[static_cast<std::size_t>(id)];
    std::vector<std::string> names;
    for (const ValueId id : node.outputs) {
      const std::string name = id == kNoValue ? std::string() : source.value(id).name;
      names.push_back(name.empty() ? name : prefix + name);
    }
    const std::vector<ValueId> outputs = target.add_node(std::move(copy), names);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (node.outputs[i] == kNoValue) {
        target.node(target.nodes().size() - 1).outputs[i] = kNoValue;
        continue;
      }
      const Value& origin = source.value(node.outputs[i]);
      target.value(outputs[i]).dtype = origin.dtype;
      target.value(outputs[i]).shape = origin.shape;
      target.value(outputs[i]).declared = origin.declared;
      ids[static_cast<std::size_t>(node.outputs[i])] = outputs[i];
    }
  }
  std::map<std::string, ValueId> results;
  for (const ValueId id : source.outputs) results[source.value(id).name] = ids[static_cast<std::size_t>(id)];
  return results;
}

std::string names_of(const Graph& graph, const std::vector<ValueId>& ids) {
  std::string result;
  for (const ValueId id : ids) result += (result.empty() ? "'" : ", '") + graph.value(id).name + "'";
  return result;
}

void require_input(const Graph& graph, const std::string& role, const std::string& name) {
  for (const ValueId id : graph.inputs)
    if (graph.value(id).name == name) return;
  throw user_error("{} graph '{}' has no input '{}'; it has {}", role, graph.name, name, names_of(graph, graph.inputs));
}

ValueId output_of(const Graph& graph, const std::string& role, const std::map<std::string, ValueId>& outputs,
                  const std::string& name) {
  const auto it = outputs.find(name);
  if (it == outputs.end())
    throw user_error("{} graph '{}' has no output '{}'; it has {}", role, graph.name, name,
                     names_of(graph, graph.outputs));
  return it->second;
}

DType input_type(const Graph& graph, const std::string& name) { return graph.value(graph.require(name)).dtype; }

// Files of one bundle may differ in precision (transformers.js picks each file's type by itself).
ValueId as_type(GraphBuilder& builder, ValueId x, DType from, DType to) {
  return from == to || from == DType::kUndefined || to == DType::kUndefined ? x : builder.cast(x, to);
}

}  // namespace

Graph link(const BundleGraphs& graphs) {
  require_input(*graphs.embed, "token embedding", "input_ids");
  require_input(*graphs.decoder, "decoder", "inputs_embeds");
  Graph linked;
  linked.name = graphs.encoder ? "linked" : "linked text";
  GraphBuilder builder(linked);
  const ValueId ids = linked.add_input("input_ids", DType::kI64, {{-1, "batch_size"}, {-1, "sequence_length"}});
  auto embedded = append(linked, *graphs.embed, kEmbedPrefix, {{"input_ids", ids}});
  ValueId embeds = output_of(*graphs.embed, "token embedding", embedded, "inputs_embeds");
  const DType embedded_type = linked.value(embeds).dtype;
  if (graphs.encoder) {
    require_input(*graphs.encoder, "audio encoder", "audio_values");
    auto encoded = append(linked, *graphs.encoder, kEncoderPrefix, {});
    const ValueId features = output_of(*graphs.encoder, "audio encoder", encoded, "audio_features");
    const ValueId rows = linked.add_input("audio_rows", DType::kI64, {{-1, "audio_rows"}, {1, ""}});
    // [B, S, H] and [N, rows, H] to [B*S, H] and [R, H]: the last extent is kept, the others are joined.
    const auto flat = [&](ValueId x, const std::string& name) {
      const ValueId shape = builder.op("Shape", {x});
      const ValueId width =
          builder.op("Slice", {shape, builder.ints({-1}), builder.ints({INT64_MAX}), builder.ints({0})});
      return builder.op("Reshape", {x, builder.op("Concat", {builder.ints({-1}), width}, {{"axis", std::int64_t{0}}})},
                        {}, name);
    };
    const ValueId sound =
        as_type(builder, flat(features, "audio_features"), linked.value(features).dtype, embedded_type);
    const ValueId merged = builder.op("ScatterND", {flat(embeds, ""), rows, sound});
    embeds = builder.op("Reshape", {merged, builder.op("Shape", {embeds})});
  }
  embeds = as_type(builder, embeds, embedded_type, input_type(*graphs.decoder, "inputs_embeds"));
  embeds = builder.op("Identity", {embeds}, {}, "inputs_embeds");
  auto decoded = append(linked, *graphs.decoder, kDecoderPrefix, {{"inputs_embeds", embeds}});
  output_of(*graphs.decoder, "decoder", decoded, "logits");
  for (const ValueId id : graphs.decoder->outputs) {
    const std::string& name = graphs.decoder->value(id).name;
    linked.rename(decoded[name], name);
    linked.outputs.push_back(decoded[name]);
  }
  return linked;
}

}  // namespace retune
