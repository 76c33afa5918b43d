// One contender of the benchmark: Retune. Prints one JSON line {"work", "peer", "threads", "seconds": [...]}.
//
//   retune_peer BUNDLE WORK THREADS RUNS [FACTS]     WORK: forward, forward_backward, train_step, or rome_edit of FACTS
//
// rome_edit also prints "positions", the length of the first edit's prompt.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <string>

#include "audio/waveform.h"
#include "editors/registry.h"
#include "facts/fact_set.h"
#include "graph/optimizer.h"
#include "lalm/answer.h"
#include "learning/answer_loss.h"
#include "tensor/error.h"
#include "tensor/rng.h"

namespace {

using namespace retune;

constexpr std::int64_t kBatch = 32, kClips = 24, kText = 72, kFrames = 200, kLabels = 4;

Tensor integers(const Shape& shape, const std::function<std::int64_t(std::int64_t)>& value) {
  Tensor tensor = Tensor::empty(DType::kI64, shape);
  for (std::int64_t i = 0; i < tensor.numel(); ++i) tensor.mutable_data<std::int64_t>()[i] = value(i);
  return tensor;
}

// As torch_lalm.batch_of makes it: the clips' slots from position 3 of the first rows on.
Request batch_request(const Bundle& bundle, std::int64_t rows, std::int64_t vocabulary) {
  const std::int64_t length = rows + kText;
  Request request;
  request.inputs["input_ids"] = {integers({kBatch, length}, [&](std::int64_t i) { return i * 7 % vocabulary; })};
  request.inputs["attention_mask"] = {integers({kBatch, length}, [](std::int64_t) { return 1; })};
  request.inputs["position_ids"] = {integers({kBatch, length}, [&](std::int64_t i) { return i % length; })};
  request.inputs["audio_rows"] = {
      integers({kClips * rows, 1}, [&](std::int64_t i) { return i / rows * length + 3 + i % rows; })};
  request.inputs["label_rows"] = {integers(
      {kBatch * kLabels}, [&](std::int64_t i) { return i / kLabels * length + length - kLabels + i % kLabels; })};
  request.inputs["labels"] = {integers({kBatch * kLabels}, [&](std::int64_t i) { return i * 5 % vocabulary; })};
  Tensor weights = Tensor::empty(DType::kF32, {kBatch * kLabels});
  std::fill_n(weights.mutable_data<float>(), weights.numel(), 1.0f / static_cast<float>(weights.numel()));
  request.inputs["label_weights"] = {weights};
  Tensor mel = Tensor::empty(DType::kF32, {kClips, bundle.front_end().options().mels, kFrames});
  Rng rng(1);
  for (std::int64_t i = 0; i < mel.numel(); ++i) mel.mutable_data<float>()[i] = static_cast<float>(rng.normal());
  request.inputs["audio_values"] = {mel};
  for (const auto& cache : bundle.decoder().caches)
    for (const std::string& past : {cache.past_key, cache.past_value})
      request.inputs[past] = {Tensor::zeros(cache.dtype, {kBatch, cache.empty[1], 0, cache.empty[3]})};
  return request;
}

// Two calls that are not counted, then `runs` that are, in seconds.
std::string timed(int runs, const std::function<void()>& step) {
  step();
  step();
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

int run(const std::string& folder, const std::string& work, int threads, int runs, const std::string& facts) {
  const Bundle bundle = Bundle::open(folder);
  Session session({.threads = threads});
  if (work == "rome_edit") return run_rome(bundle, session, facts, threads, runs);
  Graph graph = *bundle.graph();
  append_answer_loss(graph);
  const auto shared = std::make_shared<const Graph>(std::move(graph));
  const std::int64_t frames = (kFrames - 1) / 2 + 1;
  const std::int64_t rows = (frames + 7) / 8 + 1;
  Request request = batch_request(bundle, rows, bundle.tokenizer().require_id(bundle.placeholder()));
  Parameters parameters = bundle.parameters();
  std::map<std::string, Tensor> masters;
  if (work == "forward") {
    request.outputs = {"logits"};
  } else {
    request.outputs = request.wrt = {};
    request.loss = "loss";
    for (auto& [name, feed] : parameters) {
      if (name.find("embed_positions") != std::string::npos || name.find("inv_freq") != std::string::npos) continue;
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
  const std::string seconds = timed(runs, step);
  std::printf("{\"work\": \"%s\", \"peer\": \"Retune\", \"threads\": %d, \"seconds\": [%s]}\n", work.c_str(), threads,
              seconds.c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5 || argc > 6) {
    std::fprintf(stderr,
                 "usage: retune_peer BUNDLE forward|forward_backward|train_step|rome_edit THREADS RUNS [FACTS]\n");
    return 2;
  }
  try {
    return run(argv[1], argv[2], std::atoi(argv[3]), std::atoi(argv[4]), argc == 6 ? argv[5] : "");
  } catch (const retune::Error& error) {
    std::fprintf(stderr, "retune_peer: %s\n", error.what());
    return static_cast<int>(error.code());
  }
}
