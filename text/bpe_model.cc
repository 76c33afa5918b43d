#include "text/bpe_model.h"

#include <queue>
#include <unordered_set>
#include <utility>

#include "tensor/error.h"
#include "text/json_fields.h"
#include "text/utf8.h"

namespace retune {

namespace {

std::uint64_t pair_key(std::int64_t left, std::int64_t right) {
  return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint64_t>(right);
}

// The two halves of a merge: ["a", "b"] or "a b".
std::pair<std::string, std::string> merge_parts(const Json& merge, std::size_t rank, const std::string& where) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  }
  if (merge.is_string()) {
    const auto text = merge.get<std::string>();
    const std::size_t space = text.find(' ');
    if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) {
      return {text.substr(0, space), text.substr(space + 1)};
    }
  }
  throw user_error("{}: merge {}: expected [\"a\", \"b\"] or \"a b\", got {}", where, rank, in_quotes(merge.dump()));
}

TokenIds read_vocabulary(const Json& json, const std::string& where) {
  if (!json.is_object()) throw user_error("{}: 'vocab': expected an object, got {}", where, json.type_name());
  TokenIds vocabulary;
  std::unordered_set<std::int64_t> seen;
  for (const auto& [token, id] : json.items()) {
    const std::int64_t index = require_index(id, where + ": token " + in_quotes(token));
    if (!seen.insert(index).second)
      throw user_error("{}: token {}: id {} is taken already", where, in_quotes(token), index);
    vocabulary.emplace(token, index);
  }
  return vocabulary;
}

// A pair of neighbours that could merge; stale if either has merged since.
struct Candidate {
  std::int64_t rank;
  std::size_t left;  // index of the left symbol
  std::int64_t id;   // what they merge into

  friend bool operator>(const Candidate& a, const Candidate& b) {
    return std::pair(a.rank, a.left) > std::pair(b.rank, b.left);
  }
};

}  // namespace

BpeModel BpeModel::from_json(const nlohmann::json& json, const std::string& where) {
  const std::string type = string_or(json, "type", "BPE", where);
  if (type != "BPE") throw user_error("{}: type {} is not supported: expected BPE", where, in_quotes(type));
  BpeModel model;
  model.options_ = {string_or(json, "continuing_subword_prefix", "", where),
                    string_or(json, "end_of_word_suffix", "", where), flag_or(json, "fuse_unk", false, where),
                    flag_or(json, "byte_fallback", false, where), flag_or(json, "ignore_merges", false, where)};
  model.vocabulary_ = read_vocabulary(require_field(json, "vocab", where), where);
  if (optional_component(json, "unk_token", where) != nullptr) {
    const std::string unknown = require_string(json, "unk_token", where);
    const auto found = model.vocabulary_.find(unknown);
    if (found == model.vocabulary_.end())
      throw user_error("{}: unk_token {} is not in the vocabulary", where, in_quotes(unknown));
    model.unknown_ = found->second;
  }
  model.read_merges(require_field(json, "merges", where), where);
  return model;
}

std::int64_t BpeModel::id_in_merge(std::string_view token, std::size_t rank, const std::string& where) const {
  const auto found = vocabulary_.find(token);
  if (found == vocabulary_.end())
    throw user_error("{}: merge {}: {} is not in the vocabulary", where, rank, in_quotes(token));
  return found->second;
}

void BpeModel::read_merges(const nlohmann::json& merges, const std::string& where) {
  if (!merges.is_array()) throw user_error("{}: 'merges': expected an array, got {}", where, merges.type_name());
  const std::size_t prefix = options_.continuing_prefix.size();
  merges_.reserve(merges.size());
  std::size_t rank = 0;
  for (const Json& merge : merges) {
    const bool version_line =
        rank == 0 && merge.is_string() && merge.get_ref<const std::string&>().starts_with("#version");
    if (version_line) continue;
    const auto [left, right] = merge_parts(merge, rank, where);
    if (right.size() < prefix)
      throw user_error("{}: merge {}: {} lacks the prefix of a continuation", where, rank, in_quotes(right));
    const std::int64_t left_id = id_in_merge(left, rank, where), right_id = id_in_merge(right, rank, where);
    const std::int64_t id = id_in_merge(left + right.substr(prefix), rank, where);
    merges_.insert_or_assign(pair_key(left_id, right_id), Merge{static_cast<std::int64_t>(rank), id});
    ++rank;
  }
}

void BpeModel::encode(std::string_view pre_token, std::vector<std::int64_t>& ids) const {
  if (options_.ignore_merges) {
    if (const auto whole = vocabulary_.find(pre_token); whole != vocabulary_.end()) return ids.push_back(whole->second);
  }
  std::vector<std::int64_t> symbols = initial_symbols(pre_token);
  merge(symbols);
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

std::vector<std::int64_t> BpeModel::initial_symbols(std::string_view pre_token) const {
  std::vector<std::int64_t> symbols;
  bool unknown_before = false;
  for (std::size_t at = 0; at < pre_token.size();) {
    const std::size_t bytes = utf8_at(pre_token, at).bytes;
    std::string symbol(pre_token.substr(at, bytes));
    if (at > 0) symbol.insert(0, options_.continuing_prefix);
    at += bytes;
    if (at == pre_token.size()) symbol += options_.word_suffix;
    const auto found = vocabulary_.find(symbol);
    if (found != vocabulary_.end()) {
      symbols.push_back(found->second);
      unknown_before = false;
    } else if (options_.byte_fallback && append_bytes(symbol, symbols)) {
      unknown_before = false;
    } else if (unknown_) {
      if (!unknown_before || !options_.fuse_unknown) symbols.push_back(*unknown_);
      unknown_before = true;
    }
  }
  return symbols;
}

bool BpeModel::append_bytes(std::string_view symbol, std::vector<std::int64_t>& ids) const {
  const std::size_t before = ids.size();
  for (const char byte : symbol) {
    const auto found = vocabulary_.find(fmt::format("<0x{:02X}>", static_cast<unsigned char>(byte)));
    if (found == vocabulary_.end()) {
      ids.resize(before);
      return false;
    }
    ids.push_back(found->second);
  }
  return true;
}

const BpeModel::Merge* BpeModel::find_merge(std::int64_t left, std::int64_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

// A merged pair lives on in its left symbol; `next` and `previous` skip the right one, whose id becomes kGone.
void BpeModel::merge(std::vector<std::int64_t>& symbols) const {
  constexpr std::int64_t kGone = -1;
  const std::size_t count = symbols.size();
  std::vector<std::size_t> next(count), previous(count);
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates;
  const auto consider = [&](std::size_t left) {
    if (left >= count || next[left] >= count) return;
    if (const Merge* found = find_merge(symbols[left], symbols[next[left]]))
      candidates.push({found->rank, left, found->id});
  };
  for (std::size_t i = 0; i < count; ++i) {
    next[i] = i + 1;
    previous[i] = i == 0 ? count : i - 1;
  }
  for (std::size_t i = 0; i < count; ++i) consider(i);

  while (!candidates.empty()) {
    const Candidate best = candidates.top();
    candidates.pop();
    const std::size_t right = symbols[best.left] == kGone ? count : next[best.left];
    if (right >= count) continue;
    const Merge* still = find_merge(symbols[best.left], symbols[right]);
    if (still == nullptr || still->rank != best.rank) continue;
    symbols[best.left] = best.id;
    symbols[right] = kGone;
    next[best.left] = next[right];
    if (next[right] < count) previous[next[right]] = best.left;
    consider(previous[best.left]);
    consider(best.left);
  }
  std::erase(symbols, kGone);
}

}  // namespace retune
