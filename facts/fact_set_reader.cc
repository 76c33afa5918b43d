// FactSet::load: SAKE's JSON in. Keys and layouts as docs/formats/facts.md lists them.
#include <fmt/format.h>

#include <initializer_list>
#include <string_view>

#include "facts/fact_set.h"
#include "facts/json_text.h"
#include "facts/option_list.h"

namespace retune {
namespace {

using nlohmann::json;

class Reader {
 public:
  Reader(std::filesystem::path audio_root, std::string attribute, std::map<std::string, std::size_t>& ignored)
      : audio_root_(std::move(audio_root)), attribute_(std::move(attribute)), ignored_(ignored) {}

  // `suffix` makes ids unique: "0007", or "s02-e05" in a list of sequences.
  Fact read(const json& value, const std::string& place, const std::string& suffix) {
    const JsonObject item(value, place);
    note_ignored(item, {"track", "file", "original_answer", "edited_answer", "reliability_question", "generality",
                        "locality", "portability", "scope"});
    Fact fact;
    fact.request = read_request(item, suffix);
    read_reliability(fact);
    read_generality(item, fact);
    if (const auto locality = item.optional_object("locality")) {
      note_ignored(*locality, {"audio", "text"});
      read_audio_locality(*locality, fact);
      read_text_locality(*locality, fact);
    }
    if (const auto portability = item.optional_object("portability")) {
      note_ignored(*portability, {"audio"});
      read_portability(*portability, fact);
    }
    return fact;
  }

 private:
  EditRequest read_request(const JsonObject& item, const std::string& suffix) {
    EditRequest request;
    request.attribute = item.optional_text("track").value_or(attribute_);
    request.id = request.attribute + "-" + suffix;
    request.clip = clip(item, request.attribute);
    request.question = item.text("reliability_question");
    request.options = parse_options(request.question).answers();
    request.old_label = item.optional_text("original_answer").value_or("");
    request.new_label = item.text("edited_answer");
    if (const auto scope = item.optional_text("scope")) request.scope = scope_from_name(*scope, item.place());
    check_answer(item, "edited_answer", request.new_label, request.options);
    if (!request.old_label.empty()) check_answer(item, "original_answer", request.old_label, request.options);
    if (same_label(request.old_label, request.new_label)) {
      throw item.error("edited_answer",
                       fmt::format("'{}' is the original answer too; there is nothing to edit", request.new_label));
    }
    return request;
  }

  void read_reliability(Fact& fact) {
    Probe& probe = add(fact, ProbeKind::kReliability, 0, "reliability");
    probe.clip = fact.request.clip;
    probe.question = fact.request.question;
    probe.options = fact.request.options;
    probe.answer = fact.request.new_label;
  }

  void read_generality(const JsonObject& item, Fact& fact) {
    const std::vector<JsonObject> entries = item.objects("generality");
    if (entries.size() > 3)
      throw item.error("generality", fmt::format("expected at most 3 entries, got {}", entries.size()));
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const int type = static_cast<int>(i) + 1;
      Probe& probe = add(fact, ProbeKind::kGenerality, type, fmt::format("generality-{}", type));
      read_question(entries[i], {}, probe);
      probe.clip = clip(entries[i], fact.request.attribute);
      if (!same_label(probe.answer, fact.request.new_label)) {
        throw entries[i].error(
            "answer", fmt::format("expected the new label '{}', got '{}'", fact.request.new_label, probe.answer));
      }
    }
  }

  void read_audio_locality(const JsonObject& locality, Fact& fact) {
    const std::vector<JsonObject> entries = locality.objects("audio");
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const JsonObject& entry = entries[i];
      Probe& probe = add(fact, ProbeKind::kAudioLocality, 0, fmt::format("audio_locality-{}", i + 1));
      read_question(entry, {"track", "update"}, probe);
      probe.track = entry.optional_text("track").value_or(fact.request.attribute);
      probe.clip = clip(entry, probe.track);
      probe.type = audio_locality_type(fact.request.attribute, fact.request.new_label, probe.track, probe.answer);
      probe.replaced = entry.optional_bool("update").value_or(false);
    }
  }

  void read_text_locality(const JsonObject& locality, Fact& fact) {
    const std::vector<JsonObject> entries = locality.objects("text");
    for (std::size_t i = 0; i < entries.size(); ++i) {
      Probe& probe = add(fact, ProbeKind::kTextLocality, 0, fmt::format("text_locality-{}", i + 1));
      read_question(entries[i], {"original_answer", "subject"}, probe);
      entries[i].optional_integer("original_answer");  // SAKE's index of the answer; the answer itself is what counts
      probe.subject = entries[i].optional_text("subject").value_or("");
      probe.track = "";
    }
  }

  void read_portability(const JsonObject& portability, Fact& fact) {
    const auto entry = portability.optional_object("audio");
    if (!entry) return;
    Probe& probe = add(fact, ProbeKind::kPortability, 0, "portability");
    read_question(*entry, {}, probe);
    probe.clip = clip(*entry, fact.request.attribute);
  }

  Probe& add(Fact& fact, ProbeKind kind, int type, const std::string& name) {
    Probe probe;
    probe.id = fact.request.id + "/" + name;
    probe.request_id = fact.request.id;
    probe.kind = kind;
    probe.type = type;
    probe.attribute = fact.request.attribute;
    probe.track = fact.request.attribute;
    return fact.probes.emplace_back(std::move(probe));
  }

  void read_question(const JsonObject& entry, std::initializer_list<std::string_view> also, Probe& probe) {
    std::vector<std::string_view> known = {"file", "question", "answer"};
    known.insert(known.end(), also.begin(), also.end());
    note_ignored(entry, known);
    probe.question = entry.text("question");
    probe.answer = entry.text("answer");
    probe.options = parse_options(probe.question).answers();
    check_answer(entry, "answer", probe.answer, probe.options);
  }

  Clip clip(const JsonObject& object, const std::string& track) {
    const std::string file = object.text("file");
    try {
      return Clip::below(audio_root_, track, file);
    } catch (const Error& error) {
      throw object.error("file", error.what());
    }
  }

  static void check_answer(const JsonObject& object, const std::string& key, const std::string& answer,
                           const std::vector<std::string>& options) {
    if (options.empty() || find_label(options, answer) >= 0) return;
    throw object.error(key,
                       fmt::format("'{}' is none of the question's options {}", answer, fmt::join(options, " | ")));
  }

  // SAKE's files may hold keys that nothing here reads, but a misspelt one would leave out what it was to say.
  void note_ignored(const JsonObject& object, const std::vector<std::string_view>& known) {
    for (const std::string& key : object.unknown_keys(known)) ++ignored_[key];
  }

  std::filesystem::path audio_root_;
  std::string attribute_;
  std::map<std::string, std::size_t>& ignored_;
};

}  // namespace

FactSet FactSet::load(const std::filesystem::path& path, const FactOptions& options) {
  const std::string name = path.string();
  const json document = parse_json(read_text(path), name);
  if (!document.is_array())
    throw user_error("{}: expected a list of facts, or of sequences of facts, at the top", name);
  if (document.empty()) throw user_error("{}: the list of facts is empty", name);

  FactSet set;
  Reader reader(options.audio_root.empty() ? default_audio_root(path) : options.audio_root,
                options.attribute.empty() ? path.stem().string() : options.attribute, set.ignored_keys_);
  if (!document[0].is_array()) {
    for (std::size_t i = 0; i < document.size(); ++i) {
      set.facts_.push_back(reader.read(document[i], fmt::format("{}: item {}", name, i), fmt::format("{:04}", i)));
    }
    set.sequences_.push_back({0, set.facts_.size()});
    return set;
  }
  for (std::size_t s = 0; s < document.size(); ++s) {
    const json& sequence = document[s];
    if (!sequence.is_array() || sequence.empty())
      throw user_error("{}: sequence {}: expected a list of facts", name, s);
    const std::size_t begin = set.facts_.size();
    for (std::size_t i = 0; i < sequence.size(); ++i) {
      set.facts_.push_back(reader.read(sequence[i], fmt::format("{}: sequence {}, item {}", name, s, i),
                                       fmt::format("s{:02}-e{:02}", s, i)));
    }
    set.sequences_.push_back({begin, set.facts_.size()});
  }
  return set;
}

}  // namespace retune
