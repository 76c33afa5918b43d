#include "facts/probe_file.h"

#include <fmt/format.h>

#include <set>

#include "facts/json_text.h"
#include "facts/option_list.h"

namespace retune {
namespace {

constexpr std::size_t kMaxProbeFileBytes = std::size_t{1} << 30;
constexpr std::string_view kKeys[] = {"id",        "kind",  "type",    "question", "answer",
                                      "attribute", "track", "subject", "clip",     "options"};

void refuse_options(const JsonObject& line, const std::vector<std::string>& options) {
  const auto fault = check_options(options);
  if (!fault) return;
  throw line.error(fmt::format("options[{}]", fault->position),
                   fault->blank ? std::string("blank; expected text")
                                : fmt::format("'{}' stands there twice", options[fault->position]));
}

Probe read_probe(const JsonObject& line, std::size_t number, const std::filesystem::path& audio_root) {
  line.unknown_keys(kKeys);  // others may stand there, but no misspelt ones
  Probe probe;
  probe.id = line.optional_text("id").value_or(fmt::format("line-{}", number));
  probe.kind = kind_from_name(line.optional_text("kind").value_or("plain"), line.place());
  probe.type = static_cast<int>(line.optional_integer("type").value_or(0));
  if (probe.type < 0 || probe.type > type_count(probe.kind)) {
    throw line.error("type", fmt::format("expected 0 to {} for kind {}, got {}", type_count(probe.kind),
                                         kind_name(probe.kind), probe.type));
  }
  probe.question = line.text("question");
  probe.answer = line.text("answer");
  probe.attribute = line.optional_text("attribute").value_or("");
  probe.track = line.optional_text("track").value_or(probe.attribute);
  probe.subject = line.optional_text("subject").value_or("");
  if (const auto clip = line.optional_text("clip")) {
    try {
      probe.clip = Clip::below(audio_root, "", *clip);
    } catch (const Error& error) {
      throw line.error("clip", error.what());
    }
  }
  probe.options = line.has("options") ? line.text_list("options") : parse_options(probe.question).answers();
  if (line.has("options")) refuse_options(line, probe.options);
  if (!probe.options.empty() && find_label(probe.options, probe.answer) < 0) {
    throw line.error("answer",
                     fmt::format("'{}' is none of the options {}", probe.answer, fmt::join(probe.options, " | ")));
  }
  return probe;
}

nlohmann::ordered_json probe_json(const Probe& probe) {
  nlohmann::ordered_json line;
  line["id"] = probe.id;
  if (probe.clip) line["clip"] = probe.clip->name();
  line["question"] = probe.question;
  line["options"] = probe.options;
  line["answer"] = probe.answer;
  if (!probe.attribute.empty()) line["attribute"] = probe.attribute;
  if (probe.track != probe.attribute) line["track"] = probe.track;
  line["kind"] = kind_name(probe.kind);
  if (probe.type != 0) line["type"] = probe.type;
  if (!probe.subject.empty()) line["subject"] = probe.subject;
  return line;
}

}  // namespace

std::vector<Probe> load_probes(const std::filesystem::path& path, const std::filesystem::path& audio_root) {
  std::vector<Probe> probes;
  std::set<std::string> ids;
  for (const JsonLine& line : parse_json_lines(read_text(path, kMaxProbeFileBytes), path.string())) {
    const JsonObject object(line.value, fmt::format("{}:{}", path.string(), line.number));
    probes.push_back(read_probe(object, line.number, audio_root));
    if (!ids.insert(probes.back().id).second) {
      throw object.error("id",
                         fmt::format("'{}' stands on an earlier line; every probe needs its own", probes.back().id));
    }
  }
  if (probes.empty()) throw user_error("{}: no probes; expected one JSON object a line", path.string());
  return probes;
}

void save_probes(const std::filesystem::path& path, const std::vector<Probe>& probes) {
  std::string text;
  for (const Probe& probe : probes) text += json_bytes(probe_json(probe)) + "\n";
  write_text(path, text);
}

std::vector<ClipUse> clips_of(const std::vector<Probe>& probes) {
  std::vector<ClipUse> uses;
  for (const Probe& probe : probes)
    if (probe.clip) uses.push_back({*probe.clip, fmt::format("probe {}", probe.id)});
  return uses;
}

void check_audio(const std::vector<Probe>& probes) { check_located(clips_of(probes)); }

}  // namespace retune
