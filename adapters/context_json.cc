#include "adapters/context_json.h"

#include <algorithm>

#include "tensor/error.h"
#include "weights/external_data.h"

namespace retune {

namespace {

using nlohmann::json;
using Json = nlohmann::ordered_json;

bool same_clip(const ContextClip& a, const ContextClip& b) { return a.name == b.name && identical(a.bytes, b.bytes); }

std::size_t index_of(const std::vector<ContextClip>& clips, const ContextClip& clip) {
  return static_cast<std::size_t>(
      std::find_if(clips.begin(), clips.end(), [&](const ContextClip& other) { return same_clip(other, clip); }) -
      clips.begin());
}

std::vector<ContextClip> read_clips(const json& list, const std::function<Tensor(std::size_t)>& bytes_of) {
  std::vector<ContextClip> clips;
  for (const json& entry : list) {
    const std::string name = entry.at("name").get<std::string>();
    check_clip_name(name);
    const ContextClip clip{name, bytes_of(clips.size())};
    const std::string expected = entry.at("sha256").get<std::string>();
    if (clip.hash() != ContentHash::from_hex(expected))
      throw user_error("the context's clip '{}' has the SHA-256 {}, expected {}", printable(clip.name),
                       clip.hash().hex().substr(0, 12), printable(expected, 12));
    clips.push_back(clip);
  }
  return clips;
}

Demonstration demonstration_from(const json& entry, const std::vector<ContextClip>& clips) {
  Demonstration demonstration{{}, entry.at("question").get<std::string>(), entry.at("answer").get<std::string>()};
  const auto clip = entry.find("clip");
  if (clip == entry.end()) return demonstration;
  const auto index = clip->get<std::int64_t>();
  if (!clip->is_number_integer() || index < 0 || index >= static_cast<std::int64_t>(clips.size()))
    throw user_error("the context has no clip {}; it has {}", clip->dump(), clips.size());
  demonstration.clip = clips[static_cast<std::size_t>(index)];
  return demonstration;
}

}  // namespace

std::vector<ContextClip> distinct_clips(const PromptContext& context) {
  std::vector<ContextClip> clips;
  for (const Demonstration* demonstration : context.demonstrations())
    if (demonstration->clip && index_of(clips, *demonstration->clip) == clips.size())
      clips.push_back(*demonstration->clip);
  return clips;
}

Json context_json(const PromptContext& context) {
  const std::vector<ContextClip> clips = distinct_clips(context);
  Json edits = Json::array();
  for (const ContextEdit& edit : context.edits) {
    Json demonstrations = Json::array();
    for (const Demonstration& demonstration : edit.demonstrations) {
      demonstrations.push_back({{"question", demonstration.question}, {"answer", demonstration.answer}});
      if (demonstration.clip) demonstrations.back()["clip"] = index_of(clips, *demonstration.clip);
    }
    edits.push_back({{"old", edit.old_label}, {"new", edit.new_label}, {"demonstrations", std::move(demonstrations)}});
  }
  Json names = Json::array();
  for (const ContextClip& clip : clips) names.push_back({{"name", clip.name}, {"sha256", clip.hash().hex()}});
  return {{"system", context.system}, {"edits", std::move(edits)}, {"clips", std::move(names)}};
}

PromptContext context_from(const json& text, const std::function<Tensor(std::size_t)>& bytes_of) {
  const std::vector<ContextClip> clips = read_clips(text.at("clips"), bytes_of);
  PromptContext context{text.at("system").get<std::string>(), {}};
  for (const json& entry : text.at("edits")) {
    ContextEdit edit{entry.at("old").get<std::string>(), entry.at("new").get<std::string>(), {}};
    for (const json& demonstration : entry.at("demonstrations"))
      edit.demonstrations.push_back(demonstration_from(demonstration, clips));
    context.edits.push_back(std::move(edit));
  }
  check(context);
  return context;
}

}  // namespace retune
