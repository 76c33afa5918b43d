#include "adapters/tensor_file.h"
#include "cli/arguments.h"
#include "cli/commands/commands.h"
#include "cli/console.h"
#include "cli/onnx_program.h"
#include "cli/session_flags.h"
#include "cli/work_bar.h"
#include "tensor/error.h"

namespace retune {

namespace {

// Every float input, and every float initializer of more than one element.
std::vector<std::string> differentiable_leaves(const Graph& graph) {
  std::vector<std::string> leaves;
  for (const ValueId id : graph.inputs)
    if (is_float(graph.value(id).dtype)) leaves.push_back(graph.value(id).name);
  for (const Value& value : graph.values())
    if (value.kind == ValueKind::kParameter) leaves.push_back(value.name);
  return leaves;
}

std::vector<std::string> chosen_leaves(OnnxProgram& program, const Arguments& arguments) {
  if (!arguments.given("wrt")) return differentiable_leaves(*program.graph);
  for (const std::string& name : arguments.texts("wrt")) {
    const Value value = program.graph->value(program.graph->require(name));
    if (value.kind == ValueKind::kComputed)
      throw user_error("--wrt: '{}' is computed by the graph; gradients are of initializers and inputs", name);
    if (!is_float(value.dtype))
      throw user_error("--wrt: '{}' is {}; gradients are of float tensors", name, dtype_name(value.dtype));
    if (value.kind == ValueKind::kConstant) make_parameter(program, name);
  }
  return arguments.texts("wrt");
}

int grad(const Arguments& arguments, Console& console) {
  OnnxProgram program = open_program(arguments.path("MODEL"), arguments.path("outputs"));
  Request request = request_from(*program.graph, arguments.path("inputs"));
  request.loss = arguments.text("of");
  program.graph->require(request.loss);
  request.wrt = chosen_leaves(program, arguments);
  Session session(session_options(arguments));
  const Results results = [&] {
    WorkBar bar(console, "gradient");
    bar.follow(session);
    return session.run(program.graph, program.parameters, request);
  }();
  std::map<std::string, Tensor> tensors;
  for (const std::string& name : request.wrt) tensors[name] = results["grad:" + name].tensor;
  write_tensors(arguments.path("outputs"), tensors);
  nlohmann::ordered_json document;
  for (const auto& [name, tensor] : tensors) {
    document["gradients"][name] = {{"dtype", dtype_name(tensor.dtype())}, {"shape", tensor.shape().extents()}};
    if (!arguments.on("json")) console.out() << name << "  " << tensor.text() << "\n";
  }
  if (arguments.on("json")) console.print(document);
  return 0;
}

}  // namespace

Command grad_command() {
  return {.name = "grad",
          .summary =
              "The gradient of the sum of one output with respect to initializers and float inputs, as an HDF5 file "
              "with a dataset each, named as the tensor.",
          .positionals = {{.name = "MODEL", .meaning = "an .onnx file"}},
          .flags =
              {{.name = "inputs", .type = Flag::Type::kPath, .meaning = "HDF5 file with every input", .required = true},
               {.name = "of", .meaning = "the output whose sum is differentiated", .required = true},
               {.name = "wrt",
                .type = Flag::Type::kTexts,
                .meaning = "initializers and inputs; not given: every float input and every float initializer of more "
                           "than one element"},
               {.name = "outputs",
                .type = Flag::Type::kOutputFile,
                .meaning = "HDF5 file to write the gradients to",
                .required = true},
               {.name = "force", .type = Flag::Type::kSwitch, .meaning = "replace the file if it is there"}},
          .example =
              "retune grad head.onnx --inputs in.h5 --of logits --wrt W,b --outputs g.h5\n\n"
              "W  f32 [160, 1024]\nb  f32 [1024]",
          .run = grad};
}

}  // namespace retune
