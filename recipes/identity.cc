#include "recipes/identity.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <vector>

#include "adapters/patch.h"

namespace retune {

namespace {

class ClipHashes {
 public:
  void add_to(Hasher& hasher, const Clip& clip) {
    const auto [it, fresh] = known_.try_emplace(clip.locate().string());
    if (fresh) it->second = clip.hash();
    hasher.add(clip.name()).add(it->second);
  }

 private:
  std::map<std::string, ContentHash> known_;
};

void add_texts(Hasher& hasher, const std::vector<std::string>& texts) {
  hasher.add(static_cast<std::int64_t>(texts.size()));
  for (const std::string& text : texts) hasher.add(text);
}

}  // namespace

ContentHash facts_hash(const FactSet& facts) {
  Hasher hasher;
  ClipHashes clips;
  hasher.add("retune facts");
  for (const Fact& fact : facts.facts()) {
    const EditRequest& request = fact.request;
    hasher.add(request.id).add(request.attribute).add(request.question).add(request.old_label).add(request.new_label);
    hasher.add(scope_name(request.scope));
    add_texts(hasher, request.options);
    clips.add_to(hasher, request.clip);
    hasher.add(static_cast<std::int64_t>(fact.probes.size()));
    for (const Probe& probe : fact.probes) {
      hasher.add(probe.id).add(probe.request_id).add(kind_name(probe.kind)).add(std::int64_t{probe.type});
      hasher.add(probe.attribute).add(probe.track).add(probe.question).add(probe.answer).add(probe.subject);
      add_texts(hasher, probe.options);
      hasher.add(std::int64_t{probe.clip ? 1 : 0});
      if (probe.clip) clips.add_to(hasher, *probe.clip);
    }
  }
  for (const Sequence& sequence : facts.sequences()) hasher.add(static_cast<std::int64_t>(sequence.end));
  return hasher.finish();
}

ContentHash model_hash(const Bundle& bundle) {
  std::vector<std::filesystem::path> texts;
  for (const auto& entry : std::filesystem::directory_iterator(bundle.folder())) {
    const std::string extension = entry.path().extension().string();
    if (entry.is_regular_file() && (extension == ".json" || extension == ".jinja")) texts.push_back(entry.path());
  }
  std::sort(texts.begin(), texts.end());
  Hasher hasher;
  hasher.add("retune model").add(bundle.hash());
  for (const std::filesystem::path& path : texts) hasher.add(path.filename().string()).add(ContentHash::of_file(path));
  return hasher.finish();
}

ContentHash study_identity(const Recipe& recipe, const Bundle& bundle, const FactSet& facts, const Corpus* corpus) {
  Settings settings = recipe.resolved();
  for (const char* path : {"model", "facts", "audio_root", "corpus", "corpus_audio_root"}) settings.erase(path);
  Hasher hasher;
  hasher.add("retune study").add(retune_version()).add(settings.dump());
  hasher.add(model_hash(bundle)).add(facts_hash(facts));
  if (corpus) hasher.add(corpus->hash());
  return hasher.finish();
}

}  // namespace retune
