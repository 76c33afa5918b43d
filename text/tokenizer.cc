#include "text/tokenizer.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "tensor/error.h"
#include "text/added_tokens.h"
#include "text/bpe_model.h"
#include "text/decoder.h"
#include "text/json_fields.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"
#include "text/utf8.h"

namespace retune {

namespace {

constexpr std::uintmax_t kMaxFileBytes = 512u << 20;

const Json& component(const Json& file, std::string_view field) {
  static const Json kNone;
  const auto found = file.find(field);
  return found == file.end() ? kNone : *found;
}

std::unordered_set<std::string> contents_of(const std::vector<AddedToken>& tokens) {
  std::unordered_set<std::string> contents;
  for (const AddedToken& token : tokens) contents.insert(token.content);
  return contents;
}

}  // namespace

struct Tokenizer::State {
  State(const Json& file, std::string name_for_errors)
      : name(std::move(name_for_errors)),
        added(added_tokens_from_json(component(file, "added_tokens").is_null() ? Json::array() : file["added_tokens"],
                                     name + ": added_tokens")),
        normalizer(normalizer_from_json(component(file, "normalizer"), name + ": normalizer")),
        pre_tokenizer(pre_tokenizer_from_json(component(file, "pre_tokenizer"), name + ": pre_tokenizer")),
        model(BpeModel::from_json(require_field(file, "model", name), name + ": model")),
        frame(special_frame_from_json(component(file, "post_processor"), name + ": post_processor")),
        decoder(decoder_from_json(component(file, "decoder"), contents_of(added), name + ": decoder")),
        exact(added, false, [](std::string_view text) { return std::string(text); }),
        normalized(added, true, normalizer) {
    for (const auto& [token, id] : model.vocabulary()) tokens.emplace(id, token);
    for (const AddedToken& token : added) {
      added_ids.insert_or_assign(token.content, token.id);
      tokens.insert_or_assign(token.id, token.content);
      if (token.special) special.insert(token.id);
    }
    for (const auto& [id, token] : tokens) size = std::max(size, id + 1);
  }

  std::string name;
  std::vector<AddedToken> added;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  BpeModel model;
  SpecialFrame frame;
  Decoder decoder;
  TokenFinder exact;       // added tokens sought before normalising
  TokenFinder normalized;  // and after
  TokenIds added_ids;
  std::unordered_map<std::int64_t, std::string> tokens;
  std::unordered_set<std::int64_t> special;
  std::int64_t size = 0;

  // `first`: the text starts where the whole text does.
  void encode_text(std::string_view text, bool first, std::vector<std::int64_t>& ids) const {
    const std::string normal = normalizer(text);
    for (const Section& section : normalized.split(normal)) {
      if (section.token) {
        ids.push_back(*section.token);
        continue;
      }
      std::vector<PreToken> pieces;
      pre_tokenizer({std::string(section.range.of(normal)), first && section.range.begin == 0}, pieces);
      for (const PreToken& piece : pieces) model.encode(piece.text, ids);
    }
  }
};

Tokenizer Tokenizer::load(const std::filesystem::path& tokenizer_json) {
  return parse(read_file(tokenizer_json, kMaxFileBytes), tokenizer_json.string());
}

Tokenizer Tokenizer::parse(std::string_view json, std::string name_for_errors) {
  const Json file = parse_json(json, name_for_errors);
  if (!file.is_object()) throw user_error("{}: expected a JSON object, got {}", name_for_errors, file.type_name());
  return Tokenizer(std::make_shared<State>(file, std::move(name_for_errors)));
}

std::vector<std::int64_t> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  if (const auto at = find_invalid_utf8(text)) {
    throw user_error("the text to encode is not UTF-8: byte {} is 0x{:02X}", *at,
                     static_cast<unsigned char>(text[*at]));
  }
  std::vector<std::int64_t> ids;
  if (options.add_special) ids = state_->frame.before;
  for (const Section& section : state_->exact.split(text)) {
    if (section.token) {
      ids.push_back(*section.token);
    } else {
      state_->encode_text(section.range.of(text), section.range.begin == 0, ids);
    }
  }
  if (options.add_special) ids.insert(ids.end(), state_->frame.after.begin(), state_->frame.after.end());
  return ids;
}

std::string Tokenizer::decode(std::span<const std::int64_t> ids, DecodeOptions options) const {
  std::vector<std::string> tokens;
  for (const std::int64_t id : ids) {
    const auto found = state_->tokens.find(id);
    if (found == state_->tokens.end() || (options.skip_special && is_special(id))) continue;
    tokens.push_back(found->second);
  }
  std::string text;
  for (const std::string& piece : state_->decoder(std::move(tokens))) text += piece;
  return text;
}

std::optional<std::int64_t> Tokenizer::id_of(std::string_view token) const {
  for (const TokenIds* ids : {&state_->added_ids, &state_->model.vocabulary()}) {
    if (const auto found = ids->find(token); found != ids->end()) return found->second;
  }
  return std::nullopt;
}

std::int64_t Tokenizer::require_id(std::string_view token) const {
  if (const auto id = id_of(token)) return *id;
  throw user_error("{}: there is no token {}", state_->name, in_quotes(token));
}

std::string_view Tokenizer::token(std::int64_t id) const {
  const auto found = state_->tokens.find(id);
  if (found == state_->tokens.end()) throw user_error("{}: there is no token with id {}", state_->name, id);
  return found->second;
}

bool Tokenizer::has_token(std::int64_t id) const { return state_->tokens.contains(id); }

bool Tokenizer::is_special(std::int64_t id) const { return state_->special.contains(id); }

std::int64_t Tokenizer::vocabulary_size() const { return state_->size; }

// What a token adds to the text depends on those before it (a space, a character's first bytes). So the ids since the
// last shown text are decoded together with those that made it, and the difference is shown once it ends in a whole
// character.
std::string TextStream::push(std::int64_t id) {
  window_.push_back(id);
  const std::string shown = tokenizer_.decode(std::span(window_).first(context_ids_), options_);
  const std::string text = tokenizer_.decode(window_, options_);
  if (text.size() <= shown.size() || text.ends_with(kReplacementText)) return {};
  window_.erase(window_.begin(), window_.begin() + static_cast<std::ptrdiff_t>(context_ids_));
  context_ids_ = window_.size();
  return text.substr(shown.size());
}

std::string TextStream::finish() {
  const std::string shown = tokenizer_.decode(std::span(window_).first(context_ids_), options_);
  const std::string text = tokenizer_.decode(window_, options_);
  window_.clear();
  context_ids_ = 0;
  return text.substr(std::min(shown.size(), text.size()));
}

}  // namespace retune
