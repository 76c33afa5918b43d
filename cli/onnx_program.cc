#include "cli/onnx_program.h"

#include <algorithm>
#include <utility>

#include "adapters/tensor_file.h"
#include "graph/import.h"
#include "tensor/error.h"
#include "tensor/nearest_word.h"
#include "tensor/staged_output.h"

namespace retune {

OnnxProgram open_program(const std::filesystem::path& file, const std::filesystem::path& outputs) {
  OnnxModel model = OnnxModel::open(file);
  for (const std::string& location : model.external_locations())
    check_output_apart(outputs, file.parent_path() / location);
  auto graph = std::make_shared<const Graph>(import_onnx(model, file.filename().string()));
  Parameters parameters = parameters_of(*graph, model);
  return {std::move(model), std::move(graph), std::move(parameters)};
}

void make_parameter(OnnxProgram& program, const std::string& constant) {
  Graph graph = *program.graph;
  Value& value = graph.value(graph.require(constant));
  value.kind = ValueKind::kParameter;
  value.shape = value.constant.shape();
  program.parameters[constant] = {std::exchange(value.constant, {}), {}};
  program.graph = std::make_shared<const Graph>(std::move(graph));
}

Request request_from(const Graph& graph, const std::filesystem::path& inputs) {
  std::vector<std::string> names;
  for (const ValueId id : graph.inputs) names.push_back(graph.value(id).name);
  Request request;
  for (auto& [name, tensor] : read_tensors(inputs, names)) {
    if (std::find(names.begin(), names.end(), name) == names.end())
      throw user_error("{}: the model has no input '{}'; did you mean '{}'? see retune inspect", inputs.string(), name,
                       nearest_word(name, names));
    const Value& input = graph.value(graph.require(name));
    if (tensor.dtype() != input.dtype)
      throw user_error("{}: input '{}' is {}, the model takes {}", inputs.string(), name, dtype_name(tensor.dtype()),
                       dtype_name(input.dtype));
    request.inputs[name] = {std::move(tensor), {}};
  }
  return request;
}

}  // namespace retune
