#include "tests/interop/node_oracle.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "tensor/error.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const fs::path kFolder = "tests/interop";

// A folder of its own that goes away with the value.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern = (fs::temp_directory_path() / "retune-interop-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw failure("cannot make a temporary folder {}", pattern);
    path_ = pattern;
  }
  ~ScratchFolder() { fs::remove_all(path_); }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  fs::path operator/(const std::string& name) const { return path_ / name; }

 private:
  fs::path path_;
};

std::string read_text(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw failure("cannot read {}", path.string());
  return {std::istreambuf_iterator<char>(stream), {}};
}

void write_bytes(const fs::path& path, const void* data, std::size_t size) {
  std::ofstream stream(path, std::ios::binary);
  stream.write(static_cast<const char*>(data), static_cast<std::streamsize>(size));
  if (!stream.flush()) throw failure("cannot write {}", path.string());
}

// Runs node with the arguments, no shell between; its standard output. Standard error is the message of the failure.
std::string run_node(const ScratchFolder& scratch, const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {"node"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  const fs::path out = scratch / "stdout";
  const fs::path err = scratch / "stderr";
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  pid_t child = 0;
  const int spawned = posix_spawnp(&child, "node", &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  if (spawned != 0 || waitpid(child, &status, 0) != child) throw failure("cannot run node");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw failure("{} failed: {}", arguments[0], read_text(err));
  return read_text(out);
}

void write_tensors(const ScratchFolder& scratch, const std::string& name, const NamedTensors& tensors) {
  Json index = Json::object();
  for (const auto& [tensor_name, tensor] : tensors) {
    const std::string file = fmt::format("{}.{}.bin", name, index.size());
    write_bytes(scratch / file, tensor.raw(), tensor.bytes());
    index[tensor_name] = {{"dtype", dtype_name(tensor.dtype())}, {"shape", tensor.shape().extents()}, {"file", file}};
  }
  const std::string text = index.dump();
  write_bytes(scratch / name, text.data(), text.size());
}

NamedTensors read_tensors(const ScratchFolder& scratch, const std::string& name) {
  NamedTensors tensors;
  const Json index = Json::parse(read_text(scratch / name));
  for (const auto& [tensor_name, entry] : index.items()) {
    const std::string bytes = read_text(scratch / entry.at("file").get<std::string>());
    Tensor tensor = Tensor::empty(dtype_from_name(entry.at("dtype").get<std::string>()),
                                  Shape(entry.at("shape").get<std::vector<std::int64_t>>()));
    if (tensor.bytes() != bytes.size()) throw failure("{}: {} bytes for {}", tensor_name, bytes.size(), tensor.text());
    std::copy_n(reinterpret_cast<const std::byte*>(bytes.data()), bytes.size(), tensor.mutable_raw());
    tensors.emplace(tensor_name, std::move(tensor));
  }
  return tensors;
}

}  // namespace

std::string node_is_missing() {
  for (const char* package : {"onnxruntime-node", "@huggingface/transformers"})
    if (!fs::exists(kFolder / "node_modules" / package))
      return fmt::format("the npm package {} of tests/interop is not installed; see ./dev setup test", package);
  try {
    run_node(ScratchFolder(), {"--version"});
  } catch (const Error& error) {
    return fmt::format("{}; see ./dev setup test", error.what());
  }
  return "";
}

NamedTensors run_in_onnxruntime(const fs::path& model, const NamedTensors& inputs) {
  const ScratchFolder scratch;
  write_tensors(scratch, "inputs.json", inputs);
  run_node(scratch, {kFolder / "run_onnx.mjs", model, scratch / "inputs.json", scratch / "outputs.json"});
  return read_tensors(scratch, "outputs.json");
}

TransformersAnswer ask_transformers(const fs::path& bundle, const TransformersQuestion& question) {
  const ScratchFolder scratch;
  write_bytes(scratch / "prompt", question.prompt.data(), question.prompt.size());
  std::vector<std::string> arguments = {kFolder / "transformers_bundle.mjs",
                                        bundle,
                                        "--prompt",
                                        scratch / "prompt",
                                        "--max_new_tokens",
                                        std::to_string(question.max_new_tokens),
                                        "--logits",
                                        scratch / "logits.json"};
  if (question.samples) {
    write_bytes(scratch / "samples", question.samples->data(), question.samples->size() * sizeof(float));
    arguments.insert(arguments.end(), {"--audio", scratch / "samples"});
  }
  const Json answer = Json::parse(run_node(scratch, arguments));
  return {.prompt_ids = answer.at("prompt_ids").get<std::vector<std::int64_t>>(),
          .ids = answer.at("ids").get<std::vector<std::int64_t>>(),
          .text = answer.at("text").get<std::string>(),
          .logits = read_tensors(scratch, "logits.json").at("logits")};
}

}  // namespace retune
