// One contender of the benchmark: Retune. Prints one JSON line {"work", "peer", "threads", "seconds": [...]}.
//
//   retune_peer BUNDLE WORK THREADS RUNS [batch=32 clips=24 text=72 frames=200 facts=FILE]
//
// WORK: forward, forward_backward, train_step, or rome_edit of `facts`, which also prints "positions", the length of
// the first edit's prompt.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "audio/waveform.h"
#include "editors/registry.h"
#include "facts/fact_set.h"
#include "graph/optimizer.h"
#include "lalm/answer.h"
#include "lalm/link.h"
#include "learning/answer_loss.h"
#include "tensor/error.h"
#include "tensor/rng.h"

namespace {

using namespace retune;

constexpr std::int64_t kLabels = 4;

// A batch of prompts of which the first `clips` have a clip of `frames` mel frames, then `text` tokens each.
struct Workload {
  std::int64_t batch = 32, clips = 24, text = 72, frames = 200;
  std::string facts;
  bool profile = false;  // where the counted runs' time goes, by operator, on standard error
};

Workload workload_of(const std::vector<std::string>& options) {
  Workload work;
  for (const std::string& option : options) {
    const std::size_t equals = option.find('=');
    const std::string name = option.substr(0, equals),
                      value = equals == std::string::npos ? "" : option.substr(equals + 1);
    if (name == "batch")
      work.batch = std::stoll(value);
    else if (name == "clips")
      work.clips = std::stoll(value);
    else if (name == "text")
      work.text = std::stoll(value);
    else if (name == "frames")
      work.frames = std::stoll(value);
    else if (name == "profile")
      work.profile = value == "1";
    else if (name == "facts")
      work.facts = value;
    else
      throw user_error("'{}' is no option of a workload", option);
  }
  return work;
}

Tensor integers(const Shape& shape, const std::function<std::int64_t(std::int64_t)>& value) {
  Tensor tensor = Tensor::empty(DType::kI64, shape);
  for (std::int64_t i = 0; i < tensor.numel(); ++i) tensor.mutable_data<std::int64_t>()[i] = value(i);
  return tensor;
}

Tensor noise(const Shape& shape) {
  Tensor tensor = Tensor::empty(DType::kF32, shape);
  Rng rng(1);
  for (std::int64_t i = 0; i < tensor.numel(); ++i) tensor.mutable_data<float>()[i] = static_cast<float>(rng.normal());
  return tensor;
}

// Rows of the prompt that one of the clips takes.
std::int64_t audio_slots(Session& session, const Bundle& bundle, const Tensor& mel) {
  Request request;
  request.inputs["audio_values"] = {mel};
  request.outputs = {"audio_features"};
  return session.run(bundle.graph(), bundle.parameters(), request)["audio_features"].tensor.shape()[0] / mel.shape()[0];
}

// As torch_lalm.batch_of makes it: the clips' slots from position 3 of the first rows on.
Request batch_request(Session& session, const Bundle& bundle, const Workload& work) {
  const Tensor mel = noise({work.clips, bundle.front_end().options().mels, work.frames});
  const std::int64_t rows = work.clips == 0 ? 0 : audio_slots(session, bundle, mel), length = rows + work.text;
  const std::int64_t placeholder = bundle.tokenizer().require_id(bundle.placeholder());
  Request request;
  request.inputs["input_ids"] = {integers({work.batch, length}, [&](std::int64_t i) { return i * 7 % placeholder; })};
  request.inputs["attention_mask"] = {integers({work.batch, length}, [](std::int64_t) { return 1; })};
  request.inputs["position_ids"] = {integers({work.batch, length}, [&](std::int64_t i) { return i % length; })};
  request.inputs["label_rows"] = {integers(
      {work.batch * kLabels}, [&](std::int64_t i) { return i / kLabels * length + length - kLabels + i % kLabels; })};
  request.inputs["labels"] = {integers({work.batch * kLabels}, [&](std::int64_t i) { return i * 5 % placeholder; })};
  Tensor weights = Tensor::empty(DType::kF32, {work.batch * kLabels});
  std::fill_n(weights.mutable_data<float>(), weights.numel(), 1.0f / static_cast<float>(weights.numel()));
  request.inputs["label_weights"] = {weights};
  for (const auto& cache : bundle.decoder().caches)
    for (const std::string& past : {cache.past_key, cache.past_value})
      request.inputs[past] = {Tensor::zeros(cache.dtype, {work.batch, cache.empty[1], 0, cache.empty[3]})};
  if (work.clips == 0) return request;
  request.inputs["audio_rows"] = {
      integers({work.clips * rows, 1}, [&](std::int64_t i) { return i / rows * length + 3 + i % rows; })};
  request.inputs["audio_values"] = {mel};
  return request;
}

constexpr int kWarmUp = 2;  // calls that are not counted

void print_profile(const Session& session, int calls) {
  std::vector<std::pair<double, std::string>> shares;
  for (const auto& [op, seconds] : session.counters().seconds_by_op) shares.emplace_back(seconds, op);
  std::sort(shares.rbegin(), shares.rend());
  for (const auto& [seconds, op] : shares) std::fprintf(stderr, "%9.3f ms  %s\n", 1e3 * seconds / calls, op.c_str());
}

// `runs` calls after the warm-up, in seconds.
std::string timed(int runs, const std::function<void()>& step) {
  for (int i = 0; i < kWarmUp; ++i) step();
  std::string seconds;
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    step();
    seconds += fmt::format("{}{:.6f}", i == 0 ? "" : ", ",
                           std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return seconds;
}

// Every call edits another fact, so that nothing is left of the one before but what a study would find too.
int run_rome(const Bundle& bundle, Session& session, const std::string& path, int threads, int runs) {
  const std::vector<EditRequest> requests = FactSet::load(path).requests();
  const auto editor = make_editor(
      "rome", {{"target_steps", 20}, {"target_stop_loss", 0.0}, {"target_learning_rate", 0.5}, {"target_clamp", 10}});
  const Prepared prepared = editor->prepare(session, bundle, nullptr);
  const Prompt prompt =
      prompt_for(session, bundle, requests.at(0).question, load_waveform(requests.at(0).clip.locate()));
  std::size_t next = 0;
  const std::string seconds = timed(runs, [&] {
    const EditRequest& request = requests.at(next++ % requests.size());
    editor->edit(session, bundle, {&request, 1}, prepared, Rng(1));
  });
  std::printf(
      "{\"work\": \"rome_edit\", \"peer\": \"Retune\", \"threads\": %d, \"positions\": %zu, \"seconds\": [%s]}\n",
      threads, prompt.ids.size(), seconds.c_str());
  return 0;
}

int run(const std::string& folder, const std::string& work, int threads, int runs, const Workload& load) {
  const Bundle bundle = Bundle::open(folder);
  Session session({.threads = threads});
  if (work == "rome_edit") return run_rome(bundle, session, load.facts, threads, runs);
  Graph graph = load.clips > 0 ? *bundle.graph() : *bundle.text_graph();
  append_answer_loss(graph);
  const auto shared = std::make_shared<const Graph>(std::move(graph));
  Request request = batch_request(session, bundle, load);
  Parameters parameters = bundle.parameters();
  std::map<std::string, Tensor> masters;
  if (work == "forward") {
    request.outputs = {"logits"};
  } else {
    request.outputs = request.wrt = {};
    request.loss = "loss";
    for (auto& [name, feed] : parameters) {
      if (name.find("embed_positions") != std::string::npos || name.find("inv_freq") != std::string::npos) continue;
      if (load.clips == 0 && name.starts_with(kEncoderPrefix)) continue;
      masters[name] = feed.tensor.copy();
      feed = {masters[name], {}};
      request.wrt.push_back(name);
    }
  }
  Adam adam({.learning_rate = 1e-5, .weight_decay = 0.01});
  const auto step = [&] {
    const Results results = session.run(shared, parameters, request);
    if (work != "train_step") return;
    std::map<std::string, Tensor> gradients;
    for (const std::string& name : request.wrt) gradients[name] = results["grad:" + name].tensor;
    clip_global_norm(gradients, 1.0);
    adam.step(masters, gradients, session.pool());
  };
  session.profile(load.profile);
  const std::string seconds = timed(runs, step);
  if (load.profile) print_profile(session, runs + kWarmUp);
  std::printf("{\"work\": \"%s\", \"peer\": \"Retune\", \"threads\": %d, \"seconds\": [%s]}\n", work.c_str(), threads,
              seconds.c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    std::fprintf(
        stderr,
        "usage: retune_peer BUNDLE forward|forward_backward|train_step|rome_edit THREADS RUNS [NAME=VALUE ...]\n");
    return 2;
  }
  try {
    return run(argv[1], argv[2], std::atoi(argv[3]), std::atoi(argv[4]), workload_of({argv + 5, argv + argc}));
  } catch (const retune::Error& error) {
    std::fprintf(stderr, "retune_peer: %s\n", error.what());
    return static_cast<int>(error.code());
  }
}
