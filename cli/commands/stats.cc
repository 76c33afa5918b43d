#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/commands/commands.h"
#include "cli/console.h"
#include "cli/interrupt.h"
#include "cli/session_flags.h"
#include "editors/editor.h"
#include "editors/mechanisms/second_moment.h"
#include "recipes/clip_check.h"
#include "tensor/staged_output.h"

namespace retune {

namespace {

// One site's file is `out` itself, those of several lie in it.
std::vector<std::filesystem::path> output_files(const std::filesystem::path& out, const std::vector<Site>& sites,
                                                Existing existing) {
  if (sites.size() > 1) std::filesystem::create_directories(out);
  std::vector<std::filesystem::path> files;
  for (const Site& site : sites) {
    files.push_back(sites.size() > 1 ? out / (site.name + ".h5") : out);
    check_output_file(files.back(), existing);
  }
  return files;
}

nlohmann::ordered_json description(const SecondMoment& moment, const std::filesystem::path& file) {
  nlohmann::ordered_json classes = nlohmann::ordered_json::object();
  for (std::size_t i = 0; i < kTokenClasses; ++i)
    classes[std::string(token_class_name(static_cast<TokenClass>(i)))] = moment.classes[i].tokens;
  return {{"out", file.string()}, {"site", moment.identity.site}, {"width", moment.width}, {"tokens", classes}};
}

void tell(const SecondMoment& moment, const nlohmann::ordered_json& what, Console& console) {
  console.out() << fmt::format("{}: {} keys of width {} at {}\n", what.at("out").get<std::string>(), moment.tokens(),
                               moment.width, moment.identity.site);
  for (const auto& [name, tokens] : what.at("tokens").items())
    console.out() << fmt::format("  {} {}\n", tokens.get<std::int64_t>(), name);
}

int stats(const Arguments& arguments, Console& console) {
  const std::filesystem::path corpus_file = arguments.path("corpus");
  const Corpus corpus = Corpus::load(corpus_file, audio_root(arguments, corpus_file));
  const Bundle bundle = Bundle::open(arguments.path("BUNDLE"));
  std::vector<Site> sites;
  for (const std::string& name : arguments.texts("site")) sites.push_back(bundle.site(part_in(bundle.sites(), name)));
  const std::vector<std::filesystem::path> files =
      output_files(arguments.path("out"), sites, existing_output(arguments));
  Session session(session_options(arguments));
  const InterruptGuard guard;
  check_clips(corpus.clips(), session.pool(), watch(console, guard));
  MomentOptions options;
  for (const std::filesystem::path& file : files) options.checkpoints.push_back(file.string() + ".checkpoint");
  options.go_on = [&guard] { return !guard.flag().load(); };
  const std::vector<SecondMoment> moments =
      measure_second_moments(session, bundle, sites, corpus, options, step_observer(console));
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < moments.size(); ++i) {
    moments[i].save(files[i]);
    all.push_back(description(moments[i], files[i]));
    if (!arguments.on("json")) tell(moments[i], all.back(), console);
  }
  if (arguments.on("json")) console.print(all.size() == 1 ? all[0] : nlohmann::ordered_json{{"sites", all}});
  return 0;
}

}  // namespace

Command stats_command() {
  return {
      .name = "stats",
      .summary =
          "Second moments of the keys of sites over a corpus, which closed-form edits need (ROME, MEMIT, AlphaEdit, "
          "EMMET). All sites take one pass. An interrupted run goes on where it stopped.",
      .positionals = {{.name = "BUNDLE", .meaning = "a bundle's folder"}},
      .flags = {{.name = "site",
                 .type = Flag::Type::kTexts,
                 .meaning = "linear layers, as inspect names them",
                 .required = true},
                {.name = "corpus",
                 .type = Flag::Type::kPath,
                 .meaning = "JSON Lines (docs/formats/facts.md); never the clips of the facts",
                 .required = true},
                {.name = "out",
                 .type = Flag::Type::kOutputFolder,
                 .meaning = "HDF5 file to write; of several sites a folder, in which each has SITE.h5",
                 .required = true},
                {.name = "force", .type = Flag::Type::kSwitch, .meaning = "replace files that are there"}},
      .example =
          "retune stats demo/bundle --site decoder.block.3.mlp.down \\\n"
          "  --corpus data/train/corpus.jsonl --out down3.h5\n\n"
          "down3.h5: 1048576 keys of width 448 at decoder.block.3.mlp.down\n  402113 text\n  ...",
      .run = stats};
}

}  // namespace retune
