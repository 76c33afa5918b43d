#include "eval/answer_log.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <set>
#include <tuple>

#include "eval/metric.h"
#include "facts/json_text.h"
#include "tensor/content_hash.h"

namespace retune {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxLogBytes = std::size_t{4} << 30;

// JSON has no NaN and no infinities.
Json number_json(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

Json answer_json(const ProbeAnswer& answer) {
  Json scores = Json::array();
  for (const OptionScore& score : answer.option_scores) {
    scores.push_back({{"text", score.text},
                      {"logprob_sum", number_json(score.logprob_sum)},
                      {"tokens", score.tokens},
                      {"bytes", score.bytes}});
  }
  return {{"ids", answer.ids},
          {"text", answer.text},
          {"hit_length_limit", answer.hit_length_limit},
          {"option_scores", std::move(scores)},
          {"teacher_forced_hits", answer.teacher_forced_hits},
          {"teacher_forced_tokens", answer.teacher_forced_tokens}};
}

Json verdict_json(const Verdict& verdict) {
  Json json = {{"judge", verdict.judge}, {"version", verdict.version}};
  if (verdict.right_before) json["right_before"] = *verdict.right_before;
  if (verdict.right_after) json["right_after"] = *verdict.right_after;
  if (verdict.consistent) json["consistent"] = *verdict.consistent;
  if (verdict.old_before) json["old_before"] = *verdict.old_before;
  if (verdict.old_after) json["old_after"] = *verdict.old_after;
  return json;
}

double read_number(const JsonObject& object, const std::string& key) {
  const nlohmann::json* value = object.find(key);
  if (value && value->is_number()) return value->get<double>();
  if (value && *value == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (value && *value == "Infinity") return std::numeric_limits<double>::infinity();
  if (value && *value == "-Infinity") return -std::numeric_limits<double>::infinity();
  throw object.error(key, "expected a number or one of \"NaN\", \"Infinity\", \"-Infinity\"");
}

// No sequence is longer; sums of two such numbers stay far from overflow.
constexpr int kMaxSteps = 1'000'000;

int read_count(const JsonObject& object, const std::string& key, int largest = std::numeric_limits<int>::max()) {
  const auto value = object.optional_integer(key);
  if (!value) throw object.error(key, "missing; expected an integer");
  if (*value < 0 || *value > largest) {
    throw object.error(key, fmt::format("expected 0 to {}, got {}", largest, *value));
  }
  return static_cast<int>(*value);
}

std::string read_text_or_empty(const JsonObject& object, const std::string& key) {
  const auto value = object.optional_text(key);
  if (!value) throw object.error(key, "missing; expected text");
  return *value;
}

std::vector<std::int64_t> read_ids(const JsonObject& object) {
  const nlohmann::json* value = object.find("ids");
  if (!value || !value->is_array()) throw object.error("ids", "expected a list of token ids");
  std::vector<std::int64_t> ids;
  for (const nlohmann::json& id : *value) {
    if (!id.is_number_integer()) throw object.error(fmt::format("ids[{}]", ids.size()), "expected an integer");
    ids.push_back(id.get<std::int64_t>());
  }
  return ids;
}

std::optional<ProbeAnswer> read_answer(const JsonObject& line, const std::string& key) {
  const auto object = line.optional_object(key);
  if (!object) return std::nullopt;
  ProbeAnswer answer;
  answer.ids = read_ids(*object);
  answer.text = read_text_or_empty(*object, "text");
  answer.hit_length_limit = object->optional_bool("hit_length_limit").value_or(false);
  for (const JsonObject& score : object->objects("option_scores")) {
    answer.option_scores.push_back({read_text_or_empty(score, "text"), read_number(score, "logprob_sum"),
                                    read_count(score, "tokens"), read_count(score, "bytes")});
  }
  answer.teacher_forced_hits = read_count(*object, "teacher_forced_hits");
  answer.teacher_forced_tokens = read_count(*object, "teacher_forced_tokens");
  if (answer.teacher_forced_hits > answer.teacher_forced_tokens) {
    throw object->error("teacher_forced_hits", "more hits than tokens");
  }
  return answer;
}

Verdict read_verdict(const JsonObject& object) {
  Verdict verdict;
  verdict.judge = object.text("judge");
  verdict.version = read_count(object, "version");
  verdict.right_before = object.optional_bool("right_before");
  verdict.right_after = object.optional_bool("right_after");
  verdict.consistent = object.optional_bool("consistent");
  verdict.old_before = object.optional_bool("old_before");
  verdict.old_after = object.optional_bool("old_after");
  return verdict;
}

void read_identity(const JsonObject& line, AnswerRecord& record) {
  record.probe_id = line.text("probe");
  record.request_id = line.optional_text("request").value_or("");
  record.attribute = line.optional_text("attribute").value_or("");
  record.old_label = line.optional_text("old_label").value_or("");
  record.new_label = line.optional_text("new_label").value_or("");
  if (const auto scope = line.optional_text("scope")) record.scope = scope_from_name(*scope, line.place());
  record.kind = kind_from_name(line.text("kind"), line.place());
  record.type = read_count(line, "type");
  if (record.type > type_count(record.kind)) {
    throw line.error("type",
                     fmt::format("expected 0 to {} for kind {}", type_count(record.kind), kind_name(record.kind)));
  }
  record.track = line.optional_text("track").value_or("");
  record.clip = line.optional_text("clip").value_or("");
  record.clip_hash = line.optional_text("clip_hash").value_or("");
  if (!record.clip_hash.empty()) {
    try {
      ContentHash::from_hex(record.clip_hash);
    } catch (const Error& error) {
      throw line.error("clip_hash", error.what());
    }
  }
  record.question = line.text("question");
  record.options = line.text_list("options");
  record.expected = line.text("expected");
  if (const auto step = line.optional_object("step")) {
    record.step = SequenceStep{read_count(*step, "sequence", kMaxSteps), read_count(*step, "position", kMaxSteps),
                               read_count(*step, "edits_applied", kMaxSteps)};
    if (record.step->position < 1) throw step->error("position", "expected 1 or more");
  }
}

AnswerRecord record_from(const nlohmann::json& value, const std::string& place) {
  const JsonObject line(value, place);
  if (const int schema = read_count(line, "schema"); schema != kAnswerSchemaVersion) {
    throw line.error("schema", fmt::format("expected version {}, got {}; use the Retune that wrote it",
                                           kAnswerSchemaVersion, schema));
  }
  AnswerRecord record;
  read_identity(line, record);
  record.before = read_answer(line, "before");
  record.after = read_answer(line, "after");
  if (!record.before && !record.after) throw user_error("{}: no answer; expected before, after or both", place);
  if (line.has("first_token_kl")) record.first_token_kl = read_number(line, "first_token_kl");
  record.decoding_hash = line.optional_text("decoding_hash").value_or("");
  for (const JsonObject& verdict : line.objects("verdicts")) record.verdicts.push_back(read_verdict(verdict));
  return record;
}

}  // namespace

std::string answer_line(const AnswerRecord& record) {
  Json line = {{"schema", kAnswerSchemaVersion}, {"probe", record.probe_id}};
  const auto add_text = [&line](const char* key, const std::string& text) {
    if (!text.empty()) line[key] = text;
  };
  add_text("request", record.request_id);
  add_text("attribute", record.attribute);
  add_text("old_label", record.old_label);
  add_text("new_label", record.new_label);
  if (record.scope) line["scope"] = scope_name(*record.scope);
  line["kind"] = kind_name(record.kind);
  line["type"] = record.type;
  add_text("track", record.track);
  add_text("clip", record.clip);
  add_text("clip_hash", record.clip_hash);
  line["question"] = record.question;
  line["options"] = record.options;
  line["expected"] = record.expected;
  if (shares_old_answer(record)) line["shares_old_answer"] = true;
  if (record.step) {
    line["step"] = {{"sequence", record.step->sequence},
                    {"position", record.step->position},
                    {"edits_applied", record.step->edits_applied}};
  }
  if (record.before) line["before"] = answer_json(*record.before);
  if (record.after) line["after"] = answer_json(*record.after);
  if (record.first_token_kl) line["first_token_kl"] = number_json(*record.first_token_kl);
  add_text("decoding_hash", record.decoding_hash);
  line["metric_version"] = kMetricVersion;
  line["verdicts"] = Json::array();
  for (const Verdict& verdict : record.verdicts) line["verdicts"].push_back(verdict_json(verdict));
  return json_bytes(line);
}

AnswerRecord parse_answer_line(std::string_view line, const std::string& place) {
  return record_from(parse_json(line, place), place);
}

void save_answers(const std::filesystem::path& path, const std::vector<AnswerRecord>& records) {
  std::string text;
  for (const AnswerRecord& record : records) text += answer_line(record) + "\n";
  write_text(path, text);
}

std::vector<AnswerRecord> load_answers(const std::filesystem::path& path) {
  std::vector<AnswerRecord> records;
  std::set<std::tuple<std::string, int, int>> seen;
  for (const JsonLine& line : parse_json_lines(read_text(path, kMaxLogBytes), path.string())) {
    const std::string place = fmt::format("{}:{}", path.string(), line.number);
    const AnswerRecord& record = records.emplace_back(record_from(line.value, place));
    const SequenceStep step = record.step.value_or(SequenceStep{-1, 0, 0});
    if (!seen.emplace(record.probe_id, step.sequence, step.edits_applied).second) {
      throw user_error("{}: probe '{}' stands on an earlier line too; a results file holds each answer once", place,
                       record.probe_id);
    }
  }
  if (records.empty()) throw user_error("{}: no answers; expected one JSON object a line", path.string());
  return records;
}

}  // namespace retune
