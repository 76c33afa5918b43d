#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/commands/commands.h"
#include "cli/console.h"
#include "cli/interrupt.h"
#include "cli/session_flags.h"
#include "editors/editor.h"
#include "editors/mechanisms/second_moment.h"
#include "recipes/clip_check.h"

namespace retune {

namespace {

int stats(const Arguments& arguments, Console& console) {
  const std::filesystem::path corpus_file = arguments.path("corpus");
  const std::filesystem::path out = arguments.path("out");
  const Corpus corpus = Corpus::load(corpus_file, audio_root(arguments, corpus_file));
  const Bundle bundle = Bundle::open(arguments.path("BUNDLE"));
  const Site site = bundle.site(part_in(bundle.sites(), arguments.text("site")));
  Session session(session_options(arguments));
  const InterruptGuard guard;
  check_clips(corpus.clips(), session.pool(), watch(console, guard));
  MomentOptions options;
  options.checkpoint = out.string() + ".checkpoint";
  options.go_on = [&guard] { return !guard.flag().load(); };
  const SecondMoment moment = measure_second_moment(session, bundle, site, corpus, options, step_observer(console));
  moment.save(out);
  nlohmann::ordered_json classes = nlohmann::ordered_json::object();
  for (std::size_t i = 0; i < kTokenClasses; ++i)
    classes[std::string(token_class_name(static_cast<TokenClass>(i)))] = moment.classes[i].tokens;
  if (arguments.on("json")) {
    console.print({{"out", out.string()}, {"site", site.name}, {"width", moment.width}, {"tokens", classes}});
    return 0;
  }
  console.out() << fmt::format("{}: {} keys of width {} at {}\n", out.string(), moment.tokens(), moment.width,
                               site.name);
  for (const auto& [name, tokens] : classes.items())
    console.out() << fmt::format("  {} {}\n", tokens.get<std::int64_t>(), name);
  return 0;
}

}  // namespace

Command stats_command() {
  return {.name = "stats",
          .summary =
              "Second moment of the keys of a site over a corpus, which closed-form edits need (ROME). An interrupted "
              "run goes on where it stopped.",
          .positionals = {{.name = "BUNDLE", .meaning = "a bundle's folder"}},
          .flags = {{.name = "site", .meaning = "a linear layer, as inspect names it", .required = true},
                    {.name = "corpus",
                     .type = Flag::Type::kPath,
                     .meaning = "JSON Lines (docs/formats/facts.md); never the clips of the facts",
                     .required = true},
                    {.name = "out", .type = Flag::Type::kOutputFile, .meaning = "HDF5 file to write", .required = true},
                    {.name = "force", .type = Flag::Type::kSwitch, .meaning = "replace the file if it is there"}},
          .example =
              "retune stats demo/bundle --site decoder.block.3.mlp.down \\\n"
              "  --corpus data/train/corpus.jsonl --out down3.h5\n\n"
              "down3.h5: 1048576 keys of width 448 at decoder.block.3.mlp.down\n  402113 text\n  ...",
          .run = stats};
}

}  // namespace retune
