#include "facts/fact_set.h"

#include <fmt/format.h>

#include <map>
#include <optional>
#include <set>

#include "cli/arguments.h"
#include "cli/commands/commands.h"
#include "cli/console.h"
#include "cli/interrupt.h"
#include "cli/session_flags.h"
#include "eval/text_table.h"
#include "facts/demonstrations.h"
#include "recipes/clip_check.h"
#include "weights/external_data.h"

namespace retune {

namespace {

using Json = nlohmann::ordered_json;

struct ClipCount {
  std::size_t named = 0;
  std::size_t found = 0;
};

ClipCount count_clips(const FactSet& facts) {
  std::map<std::string, Clip> clips;
  for (const Fact& fact : facts.facts()) {
    clips.emplace(fact.request.clip.name(), fact.request.clip);
    for (const Probe& probe : fact.probes)
      if (probe.clip) clips.emplace(probe.clip->name(), *probe.clip);
  }
  ClipCount count{clips.size(), 0};
  for (const auto& [name, clip] : clips) count.found += clip.exists() ? 1 : 0;
  return count;
}

Json facts_json(const FactSet& facts, const std::string& file) {
  std::map<std::string, std::size_t> edits;
  std::map<std::string, std::map<std::string, std::size_t>> kinds;
  for (const Fact& fact : facts.facts()) {
    ++edits[fact.request.attribute];
    for (const Probe& probe : fact.probes) {
      ++kinds[fact.request.attribute][kind_name(probe.kind)];
      if (probe.type > 0) ++kinds[fact.request.attribute][fmt::format("{}_{}", kind_name(probe.kind), probe.type)];
    }
  }
  const ClipCount clips = count_clips(facts);
  Json attributes = Json::object();
  for (const auto& [attribute, count] : edits) attributes[attribute] = {{"edits", count}, {"probes", kinds[attribute]}};
  return {{"file", file},
          {"edits", facts.facts().size()},
          {"sequences", facts.sequences().size()},
          {"probes", facts.probes().size()},
          {"clips", clips.named},
          {"clips_found", clips.found},
          {"attributes", attributes},
          {"ignored_keys", facts.ignored_keys()}};
}

void print_facts(const Json& document, std::ostream& out) {
  out << fmt::format("{}: {} edits in {} sequence{}, {} probes, {} clips ({} found)\n\n",
                     document["file"].get<std::string>(), document["edits"].get<std::size_t>(),
                     document["sequences"].get<std::size_t>(), document["sequences"] == 1 ? "" : "s",
                     document["probes"].get<std::size_t>(), document["clips"].get<std::size_t>(),
                     document["clips_found"].get<std::size_t>());
  std::vector<std::vector<std::string>> rows{{""}, {"edits"}};
  std::set<std::string> kinds;
  for (const auto& [attribute, counts] : document["attributes"].items())
    for (const auto& [kind, count] : counts["probes"].items()) kinds.insert(kind);
  for (const std::string& kind : kinds) rows.push_back({kind});
  for (const auto& [attribute, counts] : document["attributes"].items()) {
    rows[0].push_back(attribute);
    rows[1].push_back(std::to_string(counts["edits"].get<std::size_t>()));
    for (std::size_t row = 2; row < rows.size(); ++row)
      rows[row].push_back(std::to_string(counts["probes"].value(rows[row][0], std::size_t{0})));
  }
  out << text_table(rows);
  if (document.contains("demonstrations"))
    out << fmt::format("\n{} demonstrations written\n", document["demonstrations"].get<std::size_t>());
  for (const auto& [key, count] : document["ignored_keys"].items())
    out << fmt::format("nothing reads the key '{}' ({} times); is it misspelt?\n", printable(key),
                       count.get<std::size_t>());
}

// Writes the facts as demonstrations where that is asked for. How many, or nothing.
std::optional<std::size_t> write_demonstrations(const Arguments& arguments, const FactSet& facts) {
  if (!arguments.given("demonstrations")) return std::nullopt;
  for (const std::string& file : arguments.texts("held_out"))
    refuse_held_out_clips(facts, FactSet::load(file, {.audio_root = audio_root(arguments, file)}));
  const Corpus corpus = demonstrations_of(facts);
  corpus.save(arguments.path("demonstrations"));
  return corpus.items().size();
}

int facts(const Arguments& arguments, Console& console) {
  const std::filesystem::path file = arguments.path("FILE");
  const FactSet set = FactSet::load(file, {.audio_root = audio_root(arguments, file)});
  if (arguments.given("audio_root")) {
    const InterruptGuard guard;
    ThreadPool pool(static_cast<int>(arguments.integer("threads")));
    check_clips(set.clips(), pool, watch(console, guard));
  }
  Json document = facts_json(set, file.string());
  const auto demonstrations = write_demonstrations(arguments, set);
  if (demonstrations) document["demonstrations"] = *demonstrations;
  if (arguments.on("json"))
    console.print(document);
  else
    print_facts(document, console.out());
  return 0;
}

}  // namespace

Command facts_command() {
  return {
      .name = "facts",
      .summary =
          "Reads, checks and counts facts in SAKE's JSON (docs/formats/facts.md). Their clips may be missing, unless "
          "--audio_root says where they must be: then each must be sound that is not silent.",
      .positionals = {{.name = "FILE", .meaning = "the facts"}},
      .flags = {{.name = "demonstrations",
                 .type = Flag::Type::kOutputFile,
                 .meaning =
                     "write training facts as demonstrations of their edits, for in-context methods: JSON Lines"},
                {.name = "held_out",
                 .type = Flag::Type::kTexts,
                 .meaning = "facts that are to be tested with: a clip that they share is an error"},
                {.name = "force", .type = Flag::Type::kSwitch, .meaning = "replace the file if it is there"}},
      .example =
          "retune facts demo/facts.json --audio_root demo/audio\n\n"
          "demo/facts.json: 24 edits in 1 sequence, 240 probes, 96 clips (96 found)\n\n"
          "             Animal  Emotion  Gender  Language\nedits             6        6       6         6\n"
          "generality       18       18      18        18\n...",
      .run = facts};
}

}  // namespace retune
