// A Patch in words, for `retune patch show`.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "adapters/context_json.h"
#include "adapters/insert_json.h"
#include "adapters/patch.h"
#include "weights/external_data.h"

namespace retune {

namespace {

using nlohmann::ordered_json;

// Names come from files: no control characters reach a terminal.
std::string shown(std::string_view name) { return printable(name, 200); }

std::string rank_words(const TensorDelta& delta) {
  const std::optional<std::int64_t> rank = numerical_rank(delta);
  return rank ? fmt::format(", rank {}", *rank) : "";
}

std::string slice_words(const DeltaTarget& target) {
  if (!target.slice) return "";
  return fmt::format(", axis {} [{}, {})", target.slice->axis, target.slice->begin,
                     target.slice->begin + target.slice->count);
}

std::string note_words(const std::vector<double>& numbers) {
  if (numbers.empty()) return "no values";
  if (numbers.size() == 1) return fmt::format("{:.6g}", numbers.front());
  return fmt::format("{:.6g} ... {:.6g} ({} values)", numbers.front(), numbers.back(), numbers.size());
}

// JSON where the text is JSON, the text itself otherwise.
ordered_json json_or_text(const std::string& text) {
  ordered_json value = ordered_json::parse(text, nullptr, false);
  return value.is_discarded() ? ordered_json(text) : value;
}

std::string text_of(const ordered_json& value) {
  return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

ordered_json to_json(const TensorDelta& delta) {
  ordered_json targets = ordered_json::array();
  for (const DeltaTarget& target : delta.targets) {
    ordered_json entry{{"file", target.file},
                       {"initializer", target.initializer},
                       {"stored", dtype_name(target.stored)},
                       {"transposed", target.transposed}};
    if (target.slice)
      entry["slice"] = {{"axis", target.slice->axis}, {"begin", target.slice->begin}, {"count", target.slice->count}};
    entry["sha256"] = target.sha256.hex();
    targets.push_back(std::move(entry));
  }
  ordered_json result{{"site", delta.site}, {"shape", delta.shape.extents()}, {"form", form_name(delta)}};
  const std::optional<std::int64_t> rank = numerical_rank(delta);
  result["rank"] = rank ? ordered_json(*rank) : ordered_json(nullptr);
  result["norm"] = norm(delta);
  result["bytes"] = stored_bytes(delta);
  result["targets"] = std::move(targets);
  return result;
}

std::string insert_words(const GraphInsert& insert) {
  std::string out = fmt::format("insert   {} in {}: {} nodes, {} bytes{}\n", insert.name, shown(insert.file),
                                insert.body->nodes().size(), stored_bytes(insert),
                                insert.per_call ? ", decides a call at a time" : "");
  for (const std::string& value : insert.replaces) out += fmt::format("  in place of {}\n", shown(value));
  for (const Value& value : insert.body->values())
    if (value.kind == ValueKind::kConstant && value.constant.numel() > 1)
      out += fmt::format("  {} {}\n", shown(value.name), value.constant.text());
  return out;
}

ordered_json to_json(const GraphInsert& insert) {
  ordered_json result = insert_json(insert);
  ordered_json tensors = ordered_json::object();
  for (const Value& value : insert.body->values())
    if (value.kind == ValueKind::kConstant) tensors[value.name] = value.constant.text();
  result["tensors"] = std::move(tensors);
  result["bytes"] = stored_bytes(insert);
  return result;
}

std::string context_words(const PromptContext& context) {
  const std::string hash = ContentHash::of(context.system).hex();
  std::string out = fmt::format("context  system text {}, {} edits, {} demonstrations\n", hash.substr(0, 12),
                                context.edits.size(), context.demonstrations().size());
  for (const ContextEdit& edit : context.edits)
    out += fmt::format("  {} -> {}, {} demonstrations\n", shown(edit.old_label), shown(edit.new_label),
                       edit.demonstrations.size());
  return out;
}

ordered_json to_json(const PromptContext& context) {
  ordered_json result = context_json(context);
  result["system_sha256"] = ContentHash::of(context.system).hex();
  return result;
}

}  // namespace

std::string describe(const Patch& patch, Detail detail) {
  std::string out = fmt::format("patch    {}\nmethod   {}, seed {}, made by retune {}\ngraph    {}\n", patch.id().hex(),
                                patch.method, patch.seed, shown(patch.retune), patch.graph_hash.hex());
  for (const auto& [file, hash] : patch.files) out += fmt::format("file     {} {}\n", shown(file), hash.hex());
  if (patch.beneath.empty()) out += "beneath  nothing: it goes on the unedited model\n";
  for (const ContentHash& id : patch.beneath) out += fmt::format("beneath  {}\n", id.hex());
  std::int64_t bytes = 0;
  for (const TensorDelta& delta : patch.deltas) bytes += stored_bytes(delta);
  out += fmt::format("deltas   {}, {} bytes\n", patch.deltas.size(), bytes);
  for (const TensorDelta& delta : patch.deltas) {
    out += fmt::format("  {} {}: {}{}, norm {:.6g}\n", shown(delta.site), delta.shape.text(), form_name(delta),
                       rank_words(delta), norm(delta));
    for (const DeltaTarget& t : delta.targets)
      out += fmt::format("    {} in {}: {}{}{}, base {}\n", shown(t.initializer), shown(t.file), dtype_name(t.stored),
                         t.transposed ? ", transposed" : "", slice_words(t), t.sha256.hex());
  }
  for (const GraphInsert& insert : patch.inserts) out += insert_words(insert);
  for (const auto& [name, tensor] : patch.memory) out += fmt::format("memory   {}: {}\n", shown(name), tensor.text());
  for (const auto& [name, numbers] : patch.notes)
    out += fmt::format("note     {}: {}\n", shown(name), note_words(numbers));
  if (patch.context) out += context_words(*patch.context);
  if (detail == Detail::kFull)
    out += fmt::format("recipe   {}\nfacts    {}\n", text_of(json_or_text(patch.recipe)),
                       text_of(json_or_text(patch.facts)));
  return out;
}

std::string describe_json(const Patch& patch, Detail detail) {
  ordered_json files = ordered_json::object();
  for (const auto& [file, hash] : patch.files) files[file] = hash.hex();
  ordered_json beneath = ordered_json::array();
  for (const ContentHash& id : patch.beneath) beneath.push_back(id.hex());
  ordered_json deltas = ordered_json::array();
  for (const TensorDelta& delta : patch.deltas) deltas.push_back(to_json(delta));
  ordered_json memory = ordered_json::object();
  for (const auto& [name, tensor] : patch.memory) memory[name] = tensor.text();
  ordered_json result{{"id", patch.id().hex()},
                      {"method", patch.method},
                      {"seed", patch.seed},
                      {"retune", patch.retune},
                      {"graph", patch.graph_hash.hex()},
                      {"files", files},
                      {"beneath", beneath},
                      {"deltas", deltas},
                      {"memory", memory},
                      {"notes", patch.notes}};
  if (!patch.inserts.empty()) {
    ordered_json inserts = ordered_json::array();
    for (const GraphInsert& insert : patch.inserts) inserts.push_back(to_json(insert));
    result["inserts"] = std::move(inserts);
  }
  if (patch.context) result["context"] = to_json(*patch.context);
  if (detail == Detail::kFull) {
    result["recipe"] = json_or_text(patch.recipe);
    result["facts"] = json_or_text(patch.facts);
  }
  return result.dump(1, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace retune
