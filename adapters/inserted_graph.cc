#include "adapters/inserted_graph.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "graph/graph_copy.h"
#include "graph/onnx_node.h"
#include "tensor/error.h"
#include "weights/external_data.h"

namespace retune {

namespace {

// A value of the host (its id) or one that an insert brings (those follow, in order).
using Ref = std::int32_t;

class Inserter {
 public:
  Inserter(const InsertHost& host, std::span<const StackedInsert> inserts)
      : host_(host), base_(*host.graph), inserts_(inserts), first_added_(static_cast<Ref>(base_.values().size())) {}

  InsertedGraph run() {
    for (std::size_t i = 0; i < inserts_.size(); ++i) take(static_cast<int>(i));
    connect();
    place();
    check_readers();
    InsertedGraph result;
    name_own_values();
    write_addition(result.addition);
    build(result);
    return result;
  }

 private:
  struct Added {
    std::string name;  // in the graph, below the insert's own
    int insert;
    Tensor tensor;             // of a leaf; undefined for what a node computes
    ValueId own = kNoValue;    // for a module's own value: which of the host's
    std::int32_t node = -1;    // that computes it, in nodes_
    ValueId built = kNoValue;  // in the new graph
  };
  struct AddedNode {
    const Node* node;
    int insert;
    std::vector<Ref> inputs, outputs;
    int position = -1;  // behind this node of the host; -1: before all
  };
  struct Link {
    Ref to;
    int insert;
  };
  enum class Mark : std::uint8_t { kNew, kOpen, kDone };

  const GraphInsert& insert(int i) const { return *inserts_[static_cast<std::size_t>(i)].insert; }
  bool is_added(Ref ref) const { return ref >= first_added_; }
  Added& added(Ref ref) { return added_[static_cast<std::size_t>(ref - first_added_)]; }
  const Added& added(Ref ref) const { return added_[static_cast<std::size_t>(ref - first_added_)]; }

  template <class... Args>
  Error refused(int i, fmt::format_string<Args...> format, Args&&... args) const {
    return user_error("insert '{}' does not fit {}: {}", insert(i).name, printable(insert(i).file, 200),
                      fmt::format(format, std::forward<Args>(args)...));
  }

  // What no name in the host begins with.
  std::string scope_of(const std::string& name) {
    std::string scope = name;
    const auto taken = [&](const std::string& candidate) {
      return std::find(scopes_.begin(), scopes_.end(), candidate) != scopes_.end() ||
             std::any_of(base_.values().begin(), base_.values().end(),
                         [&](const Value& value) { return value.name.starts_with(candidate + "/"); });
    };
    for (int number = 2; taken(scope); ++number) scope = fmt::format("{}.{}", name, number);
    scopes_.push_back(scope);
    return scope;
  }

  // The host's value of a name, or what the host itself has put in its place.
  ValueId find(int i, const std::string& name) const {
    std::string current = name;
    for (auto it = host_.record.stand_ins.find(current); it != host_.record.stand_ins.end();
         it = host_.record.stand_ins.find(current))
      current = it->second;
    try {
      return base_.require(current);
    } catch (const Error& error) {
      throw refused(i, "{}", error.what());
    }
  }

  // The host's value of a name, whatever stands in for it.
  ValueId find_own(int i, const std::string& name) const {
    const ValueId id = base_.find(name);
    if (id == kNoValue || base_.value(id).kind != ValueKind::kComputed)
      throw refused(i, "'{}' is not computed by a node", printable(name));
    return id;
  }

  Ref add(Added value) {
    added_.push_back(std::move(value));
    return first_added_ + static_cast<Ref>(added_.size()) - 1;
  }

  void take(int i) {
    const Graph& body = *insert(i).body;
    if (body.nodes().front().version != host_.opset)
      throw refused(i, "it was made for operator set {}, the file has {}", body.nodes().front().version, host_.opset);
    const std::string scope = scope_of(insert(i).name);
    std::vector<Ref> refs(body.values().size(), kNoValue);
    for (std::size_t v = 0; v < refs.size(); ++v) {
      const Value& value = body.values()[v];
      if (const auto own = insert(i).own.find(value.name); own != insert(i).own.end()) {
        refs[v] = add({scope + "/" + value.name, i, {}, find_own(i, own->second)});
      } else if (value.kind == ValueKind::kInput) {
        refs[v] = find(i, value.name);
        const ValueKind kind = base_.value(refs[v]).kind;
        if (kind != ValueKind::kComputed && kind != ValueKind::kInput)
          throw refused(i, "it taps the tensor '{}'; inputs and computed values can be tapped", printable(value.name));
      } else {
        refs[v] = add({scope + "/" + value.name, i, value.constant, kNoValue});
      }
    }
    for (const Node& node : body.nodes()) {
      AddedNode made{&node, i, {}, {}};
      for (const ValueId id : node.inputs) made.inputs.push_back(id == kNoValue ? kNoValue : refs[as_index(id)]);
      for (const ValueId id : node.outputs) {
        made.outputs.push_back(id == kNoValue ? kNoValue : refs[as_index(id)]);
        if (id != kNoValue) added(made.outputs.back()).node = static_cast<std::int32_t>(nodes_.size());
      }
      nodes_.push_back(std::move(made));
    }
    for (std::size_t o = 0; o < body.outputs.size(); ++o)
      replace(i, insert(i).replaces[o], refs[as_index(body.outputs[o])]);
  }

  static std::size_t as_index(ValueId id) { return static_cast<std::size_t>(id); }

  void replace(int i, const std::string& name, Ref stand_in) {
    Ref last = find(i, name);
    if (base_.value(last).kind != ValueKind::kComputed)
      throw refused(i, "'{}' is not computed by a node, so nothing can take its place", printable(name));
    replaced_.insert(last);
    for (auto link = links_.find(last); link != links_.end(); link = links_.find(last)) {
      if (link->second.insert == i) throw refused(i, "'{}' is replaced twice", printable(name));
      last = link->second.to;
    }
    links_.emplace(last, Link{stand_in, i});
  }

  // What a reader sees of a value: what the last insert left of it; inserts see what was there before themselves.
  Ref seen(Ref ref, int reader) const {
    for (auto link = links_.find(ref); link != links_.end() && link->second.insert != reader; link = links_.find(ref))
      ref = link->second.to;
    return ref;
  }

  void connect() {
    for (AddedNode& node : nodes_)
      for (Ref& input : node.inputs)
        if (input != kNoValue) input = seen(input, node.insert);
  }

  int position_of(Ref ref) const {
    if (!is_added(ref)) return base_.value(ref).producer;
    if (added(ref).own != kNoValue) return base_.value(added(ref).own).producer;
    return added(ref).node < 0 ? -1 : nodes_[static_cast<std::size_t>(added(ref).node)].position;
  }

  // Each node goes right behind the last of the host's nodes that it needs.
  void place() {
    std::vector<Mark> marks(nodes_.size(), Mark::kNew);
    std::vector<std::pair<std::size_t, std::size_t>> stack;  // node, next input
    for (std::size_t root = 0; root < nodes_.size(); ++root) {
      if (marks[root] == Mark::kNew) stack.emplace_back(root, 0);
      while (!stack.empty()) {
        auto& [index, next] = stack.back();
        AddedNode& node = nodes_[index];
        marks[index] = Mark::kOpen;
        if (next == node.inputs.size()) {
          for (const Ref input : node.inputs)
            if (input != kNoValue) node.position = std::max(node.position, position_of(input));
          marks[index] = Mark::kDone;
          order_.push_back(index);
          stack.pop_back();
          continue;
        }
        const Ref input = node.inputs[next++];
        if (input == kNoValue || !is_added(input) || added(input).node < 0) continue;
        const auto other = static_cast<std::size_t>(added(input).node);
        if (marks[other] == Mark::kOpen)
          throw refused(node.insert, "'{}' is computed from itself", printable(added(input).name));
        if (marks[other] == Mark::kNew) stack.emplace_back(other, 0);
      }
    }
    std::stable_sort(order_.begin(), order_.end(),
                     [&](std::size_t a, std::size_t b) { return nodes_[a].position < nodes_[b].position; });
  }

  void check_readers() const {
    for (std::size_t n = 0; n < base_.nodes().size(); ++n)
      for (const ValueId input : base_.nodes()[n].inputs) {
        if (input == kNoValue || replaced_.count(input) == 0) continue;
        const Ref stand_in = seen(input, -1);
        if (position_of(stand_in) < static_cast<int>(n)) continue;
        throw refused(added(stand_in).insert,
                      "{} reads '{}' before what is to stand in for it can be computed; tap only what comes before",
                      base_.nodes()[n].text(), printable(base_.value(input).name));
      }
  }

  // In the file a replaced value gives its name to its stand-in.
  void name_own_values() {
    std::set<std::string> taken;
    for (const Added& value : added_) taken.insert(value.name);
    for (const ValueId id : replaced_) {
      const auto first = static_cast<std::size_t>(links_.at(id).insert);
      std::string own = fmt::format("{}/own/{}", scopes_[first], base_.value(id).name);
      while (base_.find(own) != kNoValue || !taken.insert(own).second) own += '_';
      own_name_[id] = own;
      final_[seen(id, -1)] = id;
    }
  }

  std::string file_name(Ref ref) const {
    if (!is_added(ref)) {
      const auto own = own_name_.find(ref);
      return own == own_name_.end() ? base_.value(ref).name : own->second;
    }
    if (added(ref).own != kNoValue) return file_name(added(ref).own);
    const auto replaced = final_.find(ref);
    return replaced == final_.end() ? added(ref).name : base_.value(replaced->second).name;
  }

  void write_addition(OnnxAddition& addition) const {
    for (const ValueId id : replaced_) addition.renamed[base_.value(id).name] = own_name_.at(id);
    for (const Added& value : added_)
      if (value.tensor.defined()) addition.initializers.emplace_back(value.name, value.tensor);
    int last = -2;
    for (const std::size_t index : order_) {
      const AddedNode& node = nodes_[index];
      if (node.position != last) addition.nodes.push_back({anchor(node.position), {}});
      last = node.position;
      Node named = *node.node;
      named.inputs = node.inputs;
      named.outputs = node.outputs;
      named.name = added(node.outputs.front()).name;
      addition.nodes.back().nodes.push_back(onnx_node(named, [&](ValueId ref) { return file_name(ref); }));
    }
    InsertRecord record;
    record.per_call = host_.record.per_call ||
                      std::any_of(inserts_.begin(), inserts_.end(), [](const auto& i) { return i.insert->per_call; });
    for (const auto& [own, stand_in] : host_.record.stand_ins) {
      const auto renamed = addition.renamed.find(stand_in);
      record.stand_ins[own] = renamed == addition.renamed.end() ? stand_in : renamed->second;
    }
    for (const auto& [name, own] : addition.renamed) record.stand_ins[own] = name;
    addition.metadata = {{kInsertRecordKey, record.text()}};
  }

  std::string anchor(int position) const {
    if (position < 0) return {};
    for (const ValueId id : base_.nodes()[static_cast<std::size_t>(position)].outputs)
      if (id != kNoValue && !base_.value(id).name.empty()) return base_.value(id).name;
    throw std::logic_error("a node without outputs was tapped");
  }

  void build(InsertedGraph& result) {
    GraphCopy copy(base_);
    copy.leaves();
    for (std::size_t i = 0; i < base_.values().size(); ++i) {
      const ValueId built = copy.at(static_cast<ValueId>(i));
      if (built == kNoValue) continue;
      const Value& origin = base_.values()[i];
      copy.result().value(built).declared = origin.declared;
      copy.result().value(built).file = origin.file;
      copy.result().value(built).initializer = origin.initializer;
    }
    for (Added& value : added_)
      if (value.tensor.defined()) value.built = add_tensor(copy.result(), value, result.parameters);
    std::size_t next = 0;
    for (int position = -1; position < static_cast<int>(base_.nodes().size()); ++position) {
      if (position >= 0) {
        copy.node(static_cast<std::size_t>(position));
        keep_stand_ins(copy, static_cast<std::size_t>(position));
      }
      for (; next < order_.size() && nodes_[order_[next]].position == position; ++next)
        add_node(copy, nodes_[order_[next]]);
    }
    Graph graph = copy.finish();
    for (const auto& [stand_in, id] : final_) {
      Value& built = graph.value(added(stand_in).built);
      built.dtype = base_.value(id).dtype;
      built.declared = base_.value(id).declared;
      if (std::find(base_.outputs.begin(), base_.outputs.end(), id) == base_.outputs.end()) continue;
      result.own_names[base_.value(id).name] = own_name_.at(id);
      graph.rename(own_built_.at(id), own_name_.at(id));
      graph.rename(added(stand_in).built, base_.value(id).name);
    }
    for (std::size_t i = 0; i < graph.outputs.size(); ++i)
      graph.value(graph.outputs[i]).declared = base_.value(base_.outputs[i]).declared;
    result.graph = std::make_shared<const Graph>(std::move(graph));
  }

  // What steers shapes is a constant, what is a weight a parameter, as for tensors that a file holds (import_onnx).
  ValueId add_tensor(Graph& graph, const Added& value, Parameters& parameters) const {
    const std::string& file = insert(value.insert).file;
    if (!is_float(value.tensor.dtype()) || value.tensor.numel() <= 1)
      return graph.add_constant(value.tensor, value.name);
    const Version patch = version_of(inserts_[static_cast<std::size_t>(value.insert)].patch);
    parameters[value.name] = {value.tensor, combine(patch, version_of(value.name))};
    return graph.add_parameter(value.name, value.tensor.dtype(), value.tensor.shape(), file, value.name);
  }

  // A stand-in that needs nothing of the value that it replaces may have been built before it.
  void keep_stand_ins(GraphCopy& copy, std::size_t position) {
    for (const ValueId id : base_.nodes()[position].outputs) {
      if (id == kNoValue || replaced_.count(id) == 0) continue;
      const ValueId stand_in = added(seen(id, -1)).built;
      if (stand_in == kNoValue) continue;
      own_built_[id] = copy.at(id);
      copy.set(id, stand_in);
    }
  }

  void add_node(GraphCopy& copy, const AddedNode& made) {
    Node node = *made.node;
    node.file = insert(made.insert).file;
    for (const auto& [name, content] : made.node->attributes.items())  // a file holds them in f32
      if (const double* number = std::get_if<double>(&content))
        node.attributes.set(name, static_cast<double>(static_cast<float>(*number)));
    node.name = added(made.outputs.front()).name;
    node.inputs.clear();
    for (const Ref input : made.inputs) node.inputs.push_back(built(copy, input));
    std::vector<std::string> names;
    for (const Ref output : made.outputs) names.push_back(added(output).name);
    const std::vector<ValueId> outputs = copy.result().add_node(std::move(node), names);
    for (std::size_t o = 0; o < outputs.size(); ++o) {
      added(made.outputs[o]).built = outputs[o];
      const auto replaced = final_.find(made.outputs[o]);
      if (replaced == final_.end()) continue;
      own_built_[replaced->second] = copy.at(replaced->second);
      copy.set(replaced->second, outputs[o]);  // for all nodes of the host that are still to come
    }
  }

  ValueId built(const GraphCopy& copy, Ref ref) const {
    if (ref == kNoValue) return kNoValue;
    if (is_added(ref) && added(ref).own == kNoValue) return added(ref).built;
    if (is_added(ref)) ref = added(ref).own;
    const auto own = own_built_.find(ref);
    return own == own_built_.end() ? copy.at(ref) : own->second;
  }

  const InsertHost& host_;
  const Graph& base_;
  std::span<const StackedInsert> inserts_;
  const Ref first_added_;
  std::vector<Added> added_;
  std::vector<AddedNode> nodes_;
  std::vector<std::size_t> order_;           // nodes as they are written
  std::map<Ref, Link> links_;                // a value, to its stand-in
  std::set<ValueId> replaced_;               // values of the host that have one
  std::vector<std::string> scopes_;          // an insert: what the names of its values begin with
  std::map<ValueId, std::string> own_name_;  // of replaced_
  std::map<Ref, ValueId> final_;             // the last stand-in of each of replaced_
  std::map<ValueId, ValueId> own_built_;     // of replaced_, in the new graph
};

}  // namespace

InsertedGraph insert_into(const InsertHost& host, std::span<const StackedInsert> inserts) {
  return Inserter(host, inserts).run();
}

InsertRecord InsertRecord::of(const OnnxModel& model, const Graph& graph) {
  constexpr std::size_t kMostBytes = std::size_t{16} << 20;
  InsertRecord record;
  for (const auto& entry : model.skeleton().metadata_props()) {
    if (entry.key() != kInsertRecordKey) continue;
    nlohmann::json json;
    if (entry.value().size() <= kMostBytes) json = nlohmann::json::parse(entry.value(), nullptr, false);
    const bool sound = json.is_object() && json.contains("per_call") && json["per_call"].is_boolean() &&
                       json.contains("stand_ins") && json["stand_ins"].is_object();
    if (!sound)
      throw user_error("{}: its metadata '{}' is not what Retune writes there; export the model again, or remove it",
                       model.path().string(), kInsertRecordKey);
    record.per_call = json["per_call"].get<bool>();
    for (const auto& [own, stand_in] : json["stand_ins"].items()) {
      const ValueId before = graph.find(own);
      const ValueId after = stand_in.is_string() ? graph.find(stand_in.get<std::string>()) : kNoValue;
      const bool known = before != kNoValue && after != kNoValue && graph.value(before).producer >= 0 &&
                         graph.value(before).producer < graph.value(after).producer;
      if (known)
        record.stand_ins[own] = stand_in.get<std::string>();
      else
        ++record.unknown;
    }
  }
  return record;
}

std::string InsertRecord::text() const {
  return nlohmann::json{{"per_call", per_call}, {"stand_ins", stand_ins}}.dump();
}

}  // namespace retune
