#include <algorithm>
#include <cmath>
#include <memory>

#include "audio/waveform.h"
#include "cli/arguments.h"
#include "cli/commands/commands.h"
#include "cli/console.h"
#include "cli/session_flags.h"
#include "cli/work_bar.h"
#include "eval/text_table.h"
#include "facts/option_list.h"
#include "lalm/answer.h"
#include "lalm/context.h"
#include "lalm/context_folder.h"
#include "tensor/error.h"

namespace retune {

namespace {

using Json = nlohmann::ordered_json;

double mean(const OptionLikelihood& option) {
  return option.logprob_sum / static_cast<double>(std::max<std::int64_t>(1, option.tokens));
}

std::optional<Waveform> heard_clip(const Arguments& arguments, const Bundle& bundle, Console& console) {
  if (!arguments.given("audio")) return std::nullopt;
  Waveform clip = load_audible(arguments.path("audio"));
  try {
    for (const std::string& note : bundle.front_end().features(clip, bundle.padding()).notes) console.info(note);
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}: {}", arguments.text("audio"), error.what()));
  }
  return clip;
}

Prompt prompt_of(const Arguments& arguments, Session& session, const Bundle& bundle,
                 const std::optional<Waveform>& clip) {
  if (!arguments.given("prompt")) return prompt_for(session, bundle, arguments.text("question"), clip);
  const Feed audio = clip ? audio_feed(bundle, *clip) : Feed{};
  std::vector<std::int64_t> rows;
  if (clip) rows.push_back(encoder_rows(session, bundle, audio));
  Prompt raw = make_raw_prompt(bundle.tokenizer(), bundle.placeholder(), arguments.text("prompt"), rows);
  raw.audio = audio;
  return raw;
}

Json answer_json(const Answer& answer) {
  Json document = {{"text", answer.text}, {"ids", answer.ids}, {"hit_length_limit", answer.hit_length_limit}};
  document["options"] = Json::array();
  for (const OptionLikelihood& option : answer.options)
    document["options"].push_back(
        {{"text", option.text}, {"sum", option.logprob_sum}, {"tokens", option.tokens}, {"mean", mean(option)}});
  const auto best = std::max_element(answer.options.begin(), answer.options.end(),
                                     [](const auto& a, const auto& b) { return mean(a) < mean(b); });
  if (best != answer.options.end()) document["best"] = best->text;
  return document;
}

void print_answer(const Json& document, std::ostream& out) {
  out << document["text"].get<std::string>() << "\n";
  if (document["hit_length_limit"].get<bool>()) out << "(cut: --max_new_tokens was reached)\n";
  if (document["options"].empty()) return;
  std::vector<std::vector<std::string>> rows{{"option", "sum", "tokens", "mean", ""}};
  for (const Json& option : document["options"])
    rows.push_back({option["text"].get<std::string>(), fmt::format("{:.4f}", option["sum"].get<double>()),
                    std::to_string(option["tokens"].get<std::int64_t>()),
                    fmt::format("{:.4f}", option["mean"].get<double>()),
                    option["text"] == document["best"] ? "best" : ""});
  out << "\n" << text_table(rows);
}

// The bundle as the command line changes it.
Bundle edited(Bundle bundle, const Arguments& arguments) {
  for (const std::string& path : arguments.texts("patch"))
    bundle = bundle.with(std::make_shared<const Patch>(Patch::load(path)));
  if (!arguments.given("context")) return bundle;
  if (arguments.given("prompt"))
    throw user_error("ask: --prompt is the whole prompt, which nothing stands before; give --question or no --context");
  return with_context(bundle, load_context(arguments.path("context")));
}

void tell_left_out(const Bundle& bundle, const Prompt& prompt, Console& console) {
  if (prompt.left_out > 0)
    console.info(fmt::format("{} of {} demonstrations were left out: the decoder has {} positions", prompt.left_out,
                             bundle.context()->context.demonstrations().size(), bundle.decoder().positions));
}

Answer answered(const Arguments& arguments, Session& session, const Bundle& bundle, const std::optional<Waveform>& clip,
                Console& console) {
  WorkBar bar(console, "read");
  bar.follow(session);
  // The encoder, the clip's share of the prompt, the rest; before them the same of each clip in a context.
  const std::size_t told = bundle.context() ? 2 * bundle.context()->sounds.size() + 1 : 0;
  bar.expect_runs(static_cast<std::int64_t>(told) + (clip ? 3 : 1));
  const Prompt prompt = prompt_of(arguments, session, bundle, clip);
  tell_left_out(bundle, prompt, console);
  AnswerOptions options;
  options.max_new_tokens = arguments.integer("max_new_tokens");
  options.options = arguments.texts("options");
  options.observer = bar.parts("answer");
  return answer(session, bundle, prompt, options);
}

void check_texts(const Arguments& arguments) {
  for (const char* name : {"question", "prompt"})
    if (arguments.given(name) && same_label(arguments.text(name), ""))
      throw user_error("ask: --{} is blank; expected what the model is to be asked", name);
  const std::vector<std::string> options = arguments.texts("options");
  const auto fault = check_options(options);
  if (!fault) return;
  if (fault->blank) throw user_error("ask: --options holds a blank one; expected answers between the commas");
  throw user_error("ask: --options holds '{}' twice; give it once (case and blanks at the ends do not count)",
                   options[fault->position]);
}

int ask(const Arguments& arguments, Console& console) {
  if (arguments.given("question") == arguments.given("prompt"))
    throw user_error(
        "ask: give either --question, which the bundle's template is put around, or --prompt, as it stands");
  check_texts(arguments);
  const Bundle bundle = edited(Bundle::open(arguments.path("BUNDLE")), arguments);
  Session session(session_options(arguments));
  const std::optional<Waveform> clip = heard_clip(arguments, bundle, console);
  const Json document = answer_json(answered(arguments, session, bundle, clip, console));
  if (arguments.on("json"))
    console.print(document);
  else
    print_answer(document, console.out());
  return 0;
}

}  // namespace

Command ask_command() {
  return {
      .name = "ask",
      .summary =
          "Asks a model one question, with a clip or without: generates an answer greedily, and scores given options "
          "by their log-likelihood (natural logarithm; the best is that of the highest mean a token).",
      .positionals = {{.name = "BUNDLE", .meaning = "a bundle's folder"}},
      .flags = {{.name = "audio", .type = Flag::Type::kPath, .meaning = "the clip that the question is about"},
                {.name = "question", .meaning = "the question, its options included if it is to list them"},
                {.name = "prompt",
                 .meaning = "instead of a question: the whole prompt as the decoder is to read it, with the bundle's "
                            "placeholder where the clip goes"},
                {.name = "options", .type = Flag::Type::kTexts, .meaning = "answers to score"},
                {.name = "patch", .type = Flag::Type::kTexts, .meaning = "patch files to put on it, bottom first"},
                {.name = "context",
                 .type = Flag::Type::kPath,
                 .meaning = "what to tell it before the question: the folder that an in-context method exported"},
                {.name = "max_new_tokens",
                 .type = Flag::Type::kInteger,
                 .fallback = "256",
                 .meaning = "tokens generated at most; 0 scores options only",
                 .least = 0,
                 .most = 65536}},
      .example =
          "retune ask demo/bundle --audio dog.wav --question \"What animal is this?\" --options dog,cat\n\n"
          "dog\n\noption      sum  tokens     mean\ndog     -0.0021       1  -0.0021  best\n"
          "cat     -7.3310       1  -7.3310",
      .run = ask};
}

}  // namespace retune
