// Works of asking: options and generated answers, by lalm/answer.h.
#include <algorithm>

#include "bench/lalm/memory_bandwidth.h"
#include "bench/lalm/random_edit.h"
#include "bench/lalm/works.h"
#include "lalm/answer.h"
#include "learning/site_weight.h"
#include "tensor/error.h"

namespace retune::bench {

namespace {

const std::vector<std::string> kOptions = {"a dog barking", "a cat", "a bird singing", "a cow"};

AnswerOptions scoring(std::vector<std::string> options) {
  AnswerOptions result;
  result.max_new_tokens = 0;
  result.options = std::move(options);
  return result;
}

double seconds_to_score(Session& session, const Bundle& bundle, const std::vector<Prompt>& prompts,
                        const AnswerOptions& options) {
  const Stopwatch watch;
  for (const Prompt& prompt : prompts) answer(session, bundle, prompt, options);
  return watch.seconds();
}

// What lalm/answer.h saves: the prompt and one option as one sequence, through the encoder and the whole decoder.
double seconds_to_read_whole(Session& session, const Bundle& bundle, const Prompt& prompt) {
  const Stopwatch watch;
  for (const std::string& option : kOptions) {
    SuffixRequest whole = suffix_request(session, bundle, prompt, bundle.tokenizer().encode(option), 0);
    whole.request.cache = Request::Cache::kOff;
    whole.request.outputs = {"logits"};
    session.run(whole.graph, bundle.parameters(), whole.request);
  }
  return watch.seconds();
}

// Bytes of the weights that a decoding step multiplies by: all that the text graph reads but tables, of which it reads
// a row.
double bytes_a_token(const Bundle& bundle) {
  const Graph& graph = *bundle.text_graph();
  std::vector<bool> multiplied(graph.values().size(), false);
  for (const Node& node : graph.nodes())
    for (const ValueId id : node.inputs)
      if (id != kNoValue && node.op != "Gather") multiplied[static_cast<std::size_t>(id)] = true;
  double bytes = 0;
  for (std::size_t i = 0; i < multiplied.size(); ++i)
    if (multiplied[i] && graph.values()[i].kind == ValueKind::kParameter)
      bytes += static_cast<double>(bundle.parameters().find(graph.values()[i].name)->second.tensor.bytes());
  return bytes;
}

// Seconds between one token and the next. A session of its own: what planning costs is part of an answer.
std::vector<double> seconds_a_token(const Contender& contender, const Bundle& bundle, std::uint64_t seed,
                                    Measurement& result) {
  Session session({.threads = contender.threads});
  session.profile(contender.sizes.repeats.profile);
  std::vector<double> times;
  const Stopwatch watch;
  AnswerOptions options;
  options.max_new_tokens = contender.sizes.tokens;
  options.observer = [&](std::int64_t done, std::int64_t) {
    if (done == 1) session.reset_counters();  // the reading of the prompt
    if (done > 0) times.push_back(watch.seconds());
  };
  answer(session, bundle, text_prompt(bundle, contender.sizes.positions, seed), options);
  if (times.size() < 9)
    throw failure("the model ended its answer after {} tokens; decoding needs a longer one", times.size());
  if (contender.sizes.repeats.profile) result.profile = profile_of(session, static_cast<int>(times.size()));
  std::vector<double> steps;
  for (std::size_t i = 1; i < times.size(); ++i) steps.push_back(times[i] - times[i - 1]);
  return steps;
}

}  // namespace

Measurement score_after_edit(const Contender& contender) {
  const Bundle base = Bundle::open(contender.folder);
  Session session({.threads = contender.threads});
  const Sizes& sizes = contender.sizes;
  const Site site = base.site(fmt::format("decoder.block.{}.mlp.down", sizes.block));
  AnswerOptions options = scoring({kOptions[0]});
  for (const DeltaTarget& target : site.targets)
    for (const std::string& name : parameters_of(base.view(), target)) options.varying.push_back(name);
  Measurement result;
  std::vector<double>& first = result.beside["the first time"];
  const Repeats& repeats = sizes.repeats;
  for (int run = -repeats.warm_up; run < repeats.runs; ++run) {
    const auto seed = static_cast<std::uint64_t>(1000 * (run + repeats.warm_up) + 1);
    std::vector<Prompt> prompts;
    for (std::int64_t i = 0; i < sizes.questions; ++i)
      prompts.push_back(text_prompt(base, sizes.positions, seed + static_cast<std::uint64_t>(i)));
    const Bundle edited = randomly_edited(base, site, seed);
    const double before = seconds_to_score(session, base, prompts, options);
    if (run == 0) session.reset_counters();
    session.profile(repeats.profile);
    const double after = seconds_to_score(session, edited, prompts, options);
    session.profile(false);
    if (run < 0) continue;
    first.push_back(before);
    result.values.push_back(after);
  }
  if (repeats.profile) result.profile = profile_of(session, repeats.runs);
  return result;
}

Measurement options_on_clip(const Contender& contender) {
  const Bundle bundle = Bundle::open(contender.folder);
  const Sizes& sizes = contender.sizes;
  Session session({.threads = contender.threads});
  const std::int64_t slots = audio_slots(session, bundle, sizes.frames);
  const auto prompts_on = [&](std::uint64_t seed) {
    const Feed clip = random_clip(bundle, sizes.frames, seed);
    std::vector<Prompt> prompts;
    for (std::int64_t i = 0; i < sizes.questions; ++i)
      prompts.push_back(sound_prompt(bundle, clip, slots, slots + sizes.text, seed + static_cast<std::uint64_t>(i)));
    return prompts;
  };
  std::uint64_t seed = 1;
  Repeats repeats = sizes.repeats;
  std::vector<std::vector<Prompt>> clips;
  for (int run = 0; run < repeats.warm_up + repeats.runs; ++run) clips.push_back(prompts_on(seed += 1000));
  std::size_t next = 0;
  Measurement result =
      timed(session, repeats, [&] { seconds_to_score(session, bundle, clips.at(next++), scoring(kOptions)); });
  // Every question costs the same: one is read, and counts for all.
  std::vector<double>& whole = result.beside["each whole prompt by itself"];
  for (int run = 0; run < repeats.runs; ++run)
    whole.push_back(static_cast<double>(sizes.questions) * seconds_to_read_whole(session, bundle, clips.at(0).at(0)));
  result.facts["positions"] = static_cast<double>(slots + sizes.text);
  return result;
}

Measurement decode(const Contender& contender) {
  const Bundle bundle = Bundle::open(contender.folder);
  Measurement result;
  const Repeats& repeats = contender.sizes.repeats;
  const double bytes = bytes_a_token(bundle);
  std::vector<double>& limit = result.beside["the memory-bandwidth limit"];
  ThreadPool pool(contender.threads);
  for (int run = -repeats.warm_up; run < repeats.runs; ++run) {
    const std::vector<double> steps =
        seconds_a_token(contender, bundle, static_cast<std::uint64_t>(run + repeats.warm_up + 1), result);
    if (run < 0) continue;
    result.values.insert(result.values.end(), steps.begin(), steps.end());
    for (const double rate : read_bandwidth(pool, 3)) limit.push_back(bytes / rate);
  }
  result.facts["bytes a token"] = bytes;
  return result;
}

}  // namespace retune::bench
