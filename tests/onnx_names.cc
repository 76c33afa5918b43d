#include "tests/onnx_names.h"

#include <fstream>
#include <map>
#include <set>
#include <stdexcept>
#include <string>

#include "tests/tiny_bundle.h"

namespace retune {

namespace {

class Renamer {
 public:
  Renamer(Rng rng, const onnx::GraphProto& graph) : rng_(rng) {
    for (const auto& input : graph.input()) names_[input.name()] = input.name();
    for (const auto& output : graph.output()) names_[output.name()] = output.name();
  }

  void rename(onnx::GraphProto& graph) {
    graph.set_name(random_name());
    for (auto& tensor : *graph.mutable_initializer()) tensor.set_name(of(tensor.name()));
    for (auto& info : *graph.mutable_value_info()) info.set_name(of(info.name()));
    for (auto* infos : {graph.mutable_input(), graph.mutable_output()})
      for (auto& info : *infos) info.set_name(of(info.name()));
    for (auto& node : *graph.mutable_node()) {
      node.set_name(random_name());
      for (auto& name : *node.mutable_input()) name = of(name);
      for (auto& name : *node.mutable_output()) name = of(name);
      for (auto& attribute : *node.mutable_attribute())
        if (attribute.has_g()) rename(*attribute.mutable_g());
    }
  }

 private:
  std::string of(const std::string& name) {
    if (name.empty()) return name;  // an optional value that is absent
    auto [it, added] = names_.try_emplace(name);
    if (added) it->second = random_name();
    return it->second;
  }

  std::string random_name() {
    std::string name;
    while (name.size() < 12)
      name.push_back("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/._:0123456789"[rng_.below(66)]);
    return used_.insert(name).second ? name : random_name();
  }

  Rng rng_;
  std::map<std::string, std::string> names_;
  std::set<std::string> used_;
};

}  // namespace

void randomise_names(onnx::GraphProto& graph, Rng rng) { Renamer(rng, graph).rename(graph); }

void write_with_random_names(const std::filesystem::path& from, const std::filesystem::path& to, Rng rng) {
  onnx::ModelProto model;
  if (!model.ParseFromString(bytes_of(from))) throw std::runtime_error("not a model: " + from.string());
  randomise_names(*model.mutable_graph(), rng);
  std::ofstream(to, std::ios::binary) << model.SerializeAsString();
}

}  // namespace retune
