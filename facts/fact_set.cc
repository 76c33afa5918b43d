#include "facts/fact_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "facts/json_text.h"
#include "facts/option_list.h"

namespace retune {

// fact_set_reader.cc and fact_set_writer.cc hold load() and save().

FactSet FactSet::of(std::vector<Fact> facts, std::vector<Sequence> sequences) {
  FactSet set;
  set.facts_ = std::move(facts);
  if (sequences.empty()) sequences.push_back({0, set.facts_.size()});
  std::size_t next = 0;
  for (const Sequence& sequence : sequences) {
    if (sequence.begin != next || sequence.end < sequence.begin) {
      throw user_error("sequences must cut the facts into consecutive ranges: expected one from {}, got {} to {}", next,
                       sequence.begin, sequence.end);
    }
    next = sequence.end;
  }
  if (next != set.facts_.size()) {
    throw user_error("sequences hold {} facts, expected all {}", next, set.facts_.size());
  }
  set.sequences_ = std::move(sequences);
  return set;
}

std::vector<EditRequest> FactSet::requests() const {
  std::vector<EditRequest> requests;
  for (const Fact& fact : facts_) requests.push_back(fact.request);
  return requests;
}

std::vector<Probe> FactSet::probes() const {
  std::vector<Probe> probes;
  for (const Fact& fact : facts_) probes.insert(probes.end(), fact.probes.begin(), fact.probes.end());
  return probes;
}

FactSet FactSet::limited(std::size_t count) const {
  FactSet set = *this;
  if (count >= facts_.size()) return set;
  set.facts_.resize(count);
  std::erase_if(set.sequences_, [count](const Sequence& sequence) { return sequence.begin >= count; });
  if (!set.sequences_.empty()) set.sequences_.back().end = count;
  return set;
}

FactSet FactSet::limited_each(std::size_t count) const {
  if (sequences_.size() > 1)
    throw user_error("facts of each attribute cannot be chosen from {} sequences", sequences_.size());
  std::map<std::string, std::size_t> taken;
  std::vector<Fact> chosen;
  for (const Fact& fact : facts_)
    if (taken[fact.request.attribute]++ < count) chosen.push_back(fact);
  return of(std::move(chosen));
}

std::vector<ClipUse> FactSet::clips() const {
  std::vector<ClipUse> uses;
  for (const Fact& fact : facts_) {
    uses.push_back({fact.request.clip, fact.request.id});
    for (const Probe& probe : fact.probes)
      if (probe.clip) uses.push_back({*probe.clip, probe.id});
  }
  return uses;
}

void FactSet::check_audio() const { check_located(clips()); }

std::filesystem::path default_audio_root(const std::filesystem::path& facts_file) {
  const std::filesystem::path folder =
      facts_file.has_parent_path() ? facts_file.parent_path() : std::filesystem::path(".");
  std::error_code error;
  const std::filesystem::path audio = folder / "audio";
  return std::filesystem::is_directory(audio, error) ? audio : folder;
}

void refuse_shared_clips(const Corpus& corpus, const FactSet& facts) {
  std::set<ContentHash> tested;
  for (const Fact& fact : facts.facts()) {
    tested.insert(fact.request.clip.hash());
    for (const Probe& probe : fact.probes) {
      if (probe.clip) tested.insert(probe.clip->hash());
    }
  }
  for (const CorpusItem& item : corpus.items()) {
    if (item.clip && tested.contains(item.clip->hash())) {
      throw user_error("the corpus holds clip '{}', which the facts test; leave it out of the corpus",
                       item.clip->name());
    }
  }
}

FactSet fact_of(const std::filesystem::path& audio, const std::string& question, const std::string& answer,
                const std::string& old_answer) {
  Fact fact;
  EditRequest& request = fact.request;
  request.id = "fact";
  request.attribute = "fact";
  request.clip = Clip::at(audio);
  request.question = question;
  request.options = parse_options(question).answers();
  request.old_label = old_answer;
  request.new_label = answer;
  if (question.empty() || answer.empty()) throw user_error("a fact needs a question and an answer");
  if (same_label(answer, old_answer)) throw user_error("the old answer is '{}' too; there is nothing to edit", answer);
  for (const std::string& given : {answer, old_answer})
    if (!given.empty() && !request.options.empty() && find_label(request.options, given) < 0)
      throw user_error("the answer '{}' is none of the question's options: {}", given,
                       fmt::join(request.options, ", "));
  Probe probe;
  probe.id = request.id + "/reliability";
  probe.request_id = request.id;
  probe.kind = ProbeKind::kReliability;
  probe.attribute = request.attribute;
  probe.track = request.attribute;
  probe.clip = request.clip;
  probe.question = question;
  probe.options = request.options;
  probe.answer = answer;
  fact.probes.push_back(std::move(probe));
  std::vector<Fact> facts;
  facts.push_back(std::move(fact));
  return FactSet::of(std::move(facts));
}

}  // namespace retune
