#include "adapters/tensor_file.h"
#include "cli/arguments.h"
#include "cli/commands/commands.h"
#include "cli/console.h"
#include "cli/onnx_program.h"
#include "cli/session_flags.h"
#include "cli/work_bar.h"

namespace retune {

namespace {

int run(const Arguments& arguments, Console& console) {
  const OnnxProgram program = open_program(arguments.path("MODEL"), arguments.path("outputs"));
  Request request = request_from(*program.graph, arguments.path("inputs"));
  for (const ValueId id : program.graph->outputs) request.outputs.push_back(program.graph->value(id).name);
  Session session(session_options(arguments));
  const Results results = [&] {
    WorkBar bar(console, "run");
    bar.follow(session);
    return session.run(program.graph, program.parameters, request);
  }();
  std::map<std::string, Tensor> tensors;
  for (const std::string& name : request.outputs) tensors[name] = results[name].tensor;
  write_tensors(arguments.path("outputs"), tensors);
  nlohmann::ordered_json document;
  for (const auto& [name, tensor] : tensors) {
    document["outputs"][name] = {{"dtype", dtype_name(tensor.dtype())}, {"shape", tensor.shape().extents()}};
    if (!arguments.on("json")) console.out() << name << "  " << tensor.text() << "\n";
  }
  if (arguments.on("json")) console.print(document);
  return 0;
}

}  // namespace

Command run_command() {
  return {.name = "run",
          .summary =
              "Runs an ONNX graph once. Inputs and outputs are HDF5 files with a dataset a tensor, named as the graph "
              "names it (docs/formats/tensors.md).",
          .positionals = {{.name = "MODEL", .meaning = "an .onnx file"}},
          .flags =
              {{.name = "inputs", .type = Flag::Type::kPath, .meaning = "HDF5 file with every input", .required = true},
               {.name = "outputs",
                .type = Flag::Type::kOutputFile,
                .meaning = "HDF5 file to write every output to",
                .required = true},
               {.name = "force", .type = Flag::Type::kSwitch, .meaning = "replace the file if it is there"}},
          .example = "retune run encoder.onnx --inputs in.h5 --outputs out.h5\n\naudio_features  f32 [1, 26, 160]",
          .run = run};
}

}  // namespace retune
