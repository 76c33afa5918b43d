#include "weights/addition_proof.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <numeric>
#include <string>

#include "tensor/error.h"
#include "weights/onnx_outline.h"
#include "weights/tensor_payload.h"

namespace retune {

namespace {

class AdditionProver {
 public:
  AdditionProver(const OnnxContents& source, const OnnxContents& exported, const OnnxAddition& addition)
      : source_(source), exported_(exported), addition_(addition), file_(exported.file.string()) {}

  AdditionProof run() {
    const std::string source_file = source_.file.string();
    const GraphOutline before = outline_of(source_.map.bytes(), source_file);
    const GraphOutline after = outline_of(exported_.map.bytes(), file_);
    proof_.source_holes.push_back(before.length);
    proof_.exported_holes.push_back(after.length);
    compare_nodes(before, after);
    compare_initializers(before, after);
    compare_metadata(before, after);
    proof_.tensors = kept(exported_.layout.tensors, [](const TensorRecord& tensor) { return tensor.body; });
    proof_.frames = kept(exported_.layout.frames, [](const Frame& frame) { return frame.body; });
    // A graph that held no tensor before has become a message with tensors inside.
    const auto is_graph = [](const GraphOutline& outline) {
      return [begin = outline.body.begin](const Frame& frame) { return frame.body.begin == begin; };
    };
    const auto& frames = source_.layout.frames;
    if (std::none_of(frames.begin(), frames.end(), is_graph(before)))
      std::erase_if(proof_.frames, [&](std::size_t i) { return is_graph(after)(exported_.layout.frames[i]); });
    return std::move(proof_);
  }

 private:
  Bytes bytes_at(Span span) const { return exported_.map.bytes().subspan(span.begin, span.size()); }

  void added(Span whole) {
    proof_.exported_holes.push_back(whole);
    added_.push_back(whole);
    proof_.bytes_compared += whole.size();
  }

  // The export's nodes one after the other: the source's, and behind each those that belong there.
  void compare_nodes(const GraphOutline& before, const GraphOutline& after) {
    std::map<std::string, std::vector<const onnx::NodeProto*>> behind;
    std::size_t expected = before.nodes.size();
    for (const OnnxAddition::Nodes& group : addition_.nodes)
      for (const onnx::NodeProto& node : group.nodes) behind[group.after].push_back(&node), ++expected;
    if (after.nodes.size() != expected)
      throw proof_error("export {} holds {} nodes, expected {}", file_, after.nodes.size(), expected);
    std::size_t at = 0;
    const auto compare_added = [&](const std::string& anchor) {
      const auto group = behind.find(anchor);
      if (group == behind.end()) return;
      for (const onnx::NodeProto* node : group->second) compare_added_node(after.nodes[at++], *node);
      behind.erase(group);
    };
    compare_added("");
    for (const NodeOutline& node : before.nodes) {
      compare_outputs(node, after.nodes[at++]);
      for (const OutlineField& output : node.outputs)
        if (!output.name.empty()) compare_added(output.name);
    }
    if (!behind.empty())
      throw proof_error("export {} lacks nodes behind '{}'", file_, printable(behind.begin()->first));
  }

  void compare_added_node(const NodeOutline& node, const onnx::NodeProto& expected) {
    const Bytes found = bytes_at(node.body);
    const std::string wanted = expected.SerializeAsString();
    if (found.size() != wanted.size() || std::memcmp(found.data(), wanted.data(), wanted.size()) != 0)
      throw proof_error("export {}: the added node '{}' is not as it was made", file_, printable(expected.name()));
    added(node.whole);
  }

  void compare_outputs(const NodeOutline& before, const NodeOutline& after) {
    if (before.outputs.size() != after.outputs.size())
      throw proof_error("export {}: a node has {} outputs, expected {}", file_, after.outputs.size(),
                        before.outputs.size());
    bool changed = false;
    for (std::size_t i = 0; i < before.outputs.size(); ++i) {
      const auto renamed = addition_.renamed.find(before.outputs[i].name);
      const bool is_renamed = renamed != addition_.renamed.end();
      const std::string& wanted = is_renamed ? renamed->second : before.outputs[i].name;
      if (after.outputs[i].name != wanted)
        throw proof_error("export {}: an output is named '{}', expected '{}'", file_, printable(after.outputs[i].name),
                          printable(wanted));
      if (!is_renamed) continue;
      changed = true;
      proof_.source_holes.push_back(before.outputs[i].whole);
      proof_.exported_holes.push_back(after.outputs[i].whole);
    }
    if (!changed) return;
    proof_.source_holes.push_back(before.length);
    proof_.exported_holes.push_back(after.length);
  }

  // They stand behind the source's, in order.
  void compare_initializers(const GraphOutline& before, const GraphOutline& after) {
    const std::size_t first = before.initializers.size(), count = addition_.initializers.size();
    if (after.initializers.size() != first + count)
      throw proof_error("export {} holds {} initializers, expected {}", file_, after.initializers.size(),
                        first + count);
    for (std::size_t i = 0; i < count; ++i) {
      const auto& [name, tensor] = addition_.initializers[i];
      const OutlineField& found = after.initializers[first + i];
      const auto& tensors = exported_.layout.tensors;
      const auto record = std::find_if(tensors.begin(), tensors.end(), [&](const TensorRecord& r) {
        return r.body.begin >= found.whole.begin && r.body.end <= found.whole.end;
      });
      if (found.name != name || record == tensors.end() ||
          !identical(exported_.tensor(static_cast<std::size_t>(record - tensors.begin())), tensor))
        throw proof_error("export {}: the added tensor '{}' is not as it was made", file_, printable(name));
      added(found.whole);
    }
  }

  void compare_metadata(const GraphOutline& before, const GraphOutline& after) {
    const onnx::ModelProto& model = exported_.skeleton;
    for (const auto& [key, value] : addition_.metadata) {
      for (const OutlineField& entry : before.metadata)
        if (entry.name == key) proof_.source_holes.push_back(entry.whole);
      std::size_t found = 0;
      for (const OutlineField& entry : after.metadata)
        if (entry.name == key) ++found, added(entry.whole);
      const auto same = std::count_if(model.metadata_props().begin(), model.metadata_props().end(),
                                      [&](const auto& entry) { return entry.key() == key && entry.value() == value; });
      if (found != 1 || same != 1)
        throw proof_error("export {}: its metadata '{}' is not as it was made", file_, printable(key));
    }
  }

  // Positions of the items that lie in nothing added.
  template <class Item, class BodyOf>
  std::vector<std::size_t> kept(const std::vector<Item>& items, BodyOf body_of) {
    std::sort(added_.begin(), added_.end(), [](const Span& a, const Span& b) { return a.begin < b.begin; });
    std::vector<std::size_t> result;
    for (std::size_t i = 0; i < items.size(); ++i) {
      const Span body = body_of(items[i]);
      const auto next = std::upper_bound(added_.begin(), added_.end(), body.begin,
                                         [](std::uint64_t at, const Span& span) { return at < span.begin; });
      const bool inside = next != added_.begin() && body.end <= std::prev(next)->end;
      if (!inside) result.push_back(i);
    }
    return result;
  }

  const OnnxContents& source_;
  const OnnxContents& exported_;
  const OnnxAddition& addition_;
  std::string file_;
  std::vector<Span> added_;
  AdditionProof proof_;
};

}  // namespace

AdditionProof prove_addition(const OnnxContents& source, const OnnxContents& exported, const OnnxAddition& addition) {
  if (!addition.empty()) return AdditionProver(source, exported, addition).run();
  AdditionProof proof;
  proof.tensors.resize(exported.layout.tensors.size());
  std::iota(proof.tensors.begin(), proof.tensors.end(), std::size_t{0});
  proof.frames.resize(exported.layout.frames.size());
  std::iota(proof.frames.begin(), proof.frames.end(), std::size_t{0});
  return proof;
}

}  // namespace retune
