#include "graph/conformance.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "graph/import.h"
#include "graph/op_registry.h"
#include "graph/specialize.h"
#include "weights/onnx_proto.h"

namespace retune {

namespace {

namespace fs = std::filesystem;

std::vector<fs::path> subfolders(const fs::path& folder, const std::string& prefix) {
  std::vector<fs::path> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    if (entry.is_directory() && entry.path().filename().string().starts_with(prefix)) found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

// An operator of the graph or its subgraphs that no family has.
std::optional<std::string> unknown_operator(const Graph& graph) {
  for (const Node& node : graph.nodes()) {
    if (!is_control_flow(node) && !is_list_operator(node) &&
        OpRegistry::standard().find(node.domain, node.op, node.version) == nullptr)
      return node.domain.empty() ? node.op : node.domain + "." + node.op;
    for (const auto& [name, content] : node.attributes.items())
      if (const auto* sub = std::get_if<std::shared_ptr<const Graph>>(&content))
        if (auto unknown = unknown_operator(**sub)) return unknown;
  }
  return std::nullopt;
}

// Why an input or output cannot be a Tensor.
std::optional<std::string> unknown_type(const onnx::GraphProto& graph) {
  const auto reason = [](const onnx::ValueInfoProto& value) -> std::optional<std::string> {
    if (!value.type().has_tensor_type()) return "sequence, map or optional";
    const int number = value.type().tensor_type().elem_type();
    if (number >= 0 && number <= 255 && dtype_bits(static_cast<DType>(number)) != 0) return std::nullopt;
    return number == onnx::TensorProto::STRING ? "string" : "type " + std::to_string(number);
  };
  for (const auto& value : graph.input())
    if (auto why = reason(value)) return why;
  for (const auto& value : graph.output())
    if (auto why = reason(value)) return why;
  return std::nullopt;
}

// The words with which the library refuses what it knows but does not do.
bool says_unsupported(const std::string& message) {
  return message.find("not supported") != std::string::npos ||
         message.find("cannot be computed with") != std::string::npos;
}

// Nothing if the tensors agree.
std::optional<std::string> difference(const Tensor& got, const Tensor& want, const ConformanceOptions& options) {
  if (got.dtype() != want.dtype() || !(got.shape() == want.shape()))
    return fmt::format("expected {}, got {}", want.text(), got.text());
  if (!is_float(want.dtype()) && !is_narrow_float(want.dtype())) {
    if (identical(got, want)) return std::nullopt;
    const Tensor a = got.cast(DType::kI64), b = want.cast(DType::kI64);
    for (std::int64_t i = 0; i < a.numel(); ++i)
      if (a.data<std::int64_t>()[i] != b.data<std::int64_t>()[i])
        return fmt::format("element {}: expected {}, got {}", i, b.data<std::int64_t>()[i], a.data<std::int64_t>()[i]);
    return std::nullopt;
  }
  const std::vector<double> a = got.to_f64(), b = want.to_f64();
  for (std::size_t i = 0; i < a.size(); ++i) {
    const bool close = std::isnan(b[i]) ? std::isnan(a[i])
                       : std::isinf(b[i])
                           ? a[i] == b[i]
                           : std::fabs(a[i] - b[i]) <= options.absolute + options.relative * std::fabs(b[i]);
    if (!close) return fmt::format("element {}: expected {}, got {}", i, b[i], a[i]);
  }
  return std::nullopt;
}

Tensor read_numbered(const fs::path& folder, const char* kind, std::size_t i) {
  return read_tensor_file(folder / fmt::format("{}_{}.pb", kind, i));
}

// One data set; nothing if every output is right.
std::optional<std::string> run_data_set(const fs::path& folder, const std::shared_ptr<const Graph>& graph,
                                        const Parameters& parameters, Session& session,
                                        const ConformanceOptions& options) {
  Request request;
  for (std::size_t i = 0; i < graph->inputs.size(); ++i)
    request.inputs[graph->value(graph->inputs[i]).name] = {read_numbered(folder, "input", i)};
  for (const ValueId output : graph->outputs) request.outputs.push_back(graph->value(output).name);
  const Results results = session.run(graph, parameters, request);
  for (std::size_t i = 0; i < request.outputs.size(); ++i)
    if (const auto wrong = difference(results[request.outputs[i]].tensor, read_numbered(folder, "output", i), options))
      return fmt::format("output '{}', {}", request.outputs[i], *wrong);
  return std::nullopt;
}

class Tally {
 public:
  Tally(Session& session, const ConformanceOptions& options) : session_(session), options_(options) {}

  void run(const fs::path& folder) {
    const std::string name = folder.filename().string();
    label_ = name;
    operator_ = "(unreadable)";
    try {
      if (const auto wrong = test(folder)) fail(name, *wrong);
    } catch (const Error& error) {
      if (says_unsupported(error.what()))
        unsupported(label_);
      else
        fail(name, error.what());
    }
  }

  ConformanceResult result;

 private:
  // Counts the test as passed or unsupported, or says what is wrong.
  std::optional<std::string> test(const fs::path& folder) {
    const OnnxModel model = OnnxModel::open(folder / "model.onnx");
    const onnx::GraphProto& proto = model.skeleton().graph();
    if (proto.node_size() != 0) label_ = proto.node(0).op_type();
    operator_ = proto.node_size() == 1 ? label_ : "(several nodes)";
    if (const auto why = unknown_type(proto)) {
      unsupported(fmt::format("{} ({})", label_, *why));
      return std::nullopt;
    }
    const auto graph = std::make_shared<const Graph>(import_onnx(model, folder.filename().string()));
    if (const auto unknown = unknown_operator(*graph)) {
      unsupported(*unknown);
      return std::nullopt;
    }
    const Parameters parameters = parameters_of(*graph, model);
    const std::vector<fs::path> data = subfolders(folder, "test_data_set_");
    if (data.empty()) return "no test_data_set_* beside the model";
    for (const fs::path& set : data)
      if (auto wrong = run_data_set(set, graph, parameters, session_, options_)) return wrong;
    ++result.passed;
    ++result.by_operator[operator_].passed;
    return std::nullopt;
  }

  void fail(const std::string& name, const std::string& why) {
    ++result.failed;
    ++result.by_operator[operator_].failed;
    result.failures.push_back(name + ": " + why);
  }

  void unsupported(const std::string& what) {
    ++result.unsupported;
    ++result.by_operator[operator_].unsupported;
    ++result.unsupported_by_op[what];
  }

  Session& session_;
  const ConformanceOptions& options_;
  std::string label_;     // the model's first operator, once it is known
  std::string operator_;  // a key of by_operator
};

}  // namespace

ConformanceResult run_conformance(const fs::path& folder, Session& session, const ConformanceOptions& options,
                                  const WorkObserver& observer) {
  if (!fs::is_directory(folder)) throw user_error("{} is not a folder of conformance tests", folder.string());
  const std::vector<fs::path> tests = subfolders(folder, "test_");
  if (tests.empty()) throw user_error("{} holds no test_* folder with a model.onnx", folder.string());
  Tally tally(session, options);
  for (std::size_t i = 0; i < tests.size(); ++i) {
    tally.run(tests[i]);
    if (observer) observer(static_cast<std::int64_t>(i) + 1, static_cast<std::int64_t>(tests.size()));
  }
  return tally.result;
}

}  // namespace retune
