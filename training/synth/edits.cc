#include "training/synth/edits.h"

#include <algorithm>
#include <set>
#include <utility>

#include "tensor/error.h"
#include "training/synth/questions.h"

namespace retune::synth {

namespace {

constexpr std::size_t kSequenceLength = 10;

struct Change {
  std::string attribute;
  std::string old_label;
  std::string new_label;
};

using Label = std::pair<std::string, std::string>;  // attribute, label

// Every ordered pair of an attribute's labels, in a drawn order.
std::vector<Change> all_changes(const std::string& attribute, Rng& rng) {
  std::vector<Change> changes;
  for (const std::string_view from : labels_of(attribute)) {
    for (const std::string_view to : labels_of(attribute)) {
      if (from != to) changes.push_back({attribute, std::string(from), std::string(to)});
    }
  }
  rng.shuffle(changes);
  return changes;
}

// Writes the probes of one edit, one kind after another.
class FactWriter {
 public:
  FactWriter(const EditSource& source, const Change& change, const std::set<Label>& avoided, Rng rng)
      : source_(source), change_(change), avoided_(avoided), rng_(rng) {}

  Fact write(const std::string& id_suffix, Portability portability) {
    fact_.request.attribute = change_.attribute;
    fact_.request.id = change_.attribute + "-" + id_suffix;
    add_edit();
    add_audio_locality();
    add_text_locality();
    if (portability == Portability::kAsked) add_portability();
    return std::move(fact_);
  }

 private:
  Probe& add(ProbeKind kind, int type, const std::string& name, const Question& question, const ClipPlan* clip) {
    Probe& probe = fact_.probes.emplace_back();
    probe.id = fact_.request.id + "/" + name;
    probe.request_id = fact_.request.id;
    probe.kind = kind;
    probe.type = type;
    probe.attribute = change_.attribute;
    probe.track = change_.attribute;
    if (clip != nullptr) probe.clip = clip_below(source_.audio_root, *clip);
    probe.question = question.text();
    probe.options = question.options;
    probe.answer = question.answer;
    return probe;
  }

  // The request, reliability and generality: what is expected is the new label.
  void add_edit() {
    clip_ = &source_.clips.draw(change_.attribute, change_.old_label, nullptr, rng_);
    const ClipPlan& other = source_.clips.draw(change_.attribute, change_.old_label, clip_, rng_);
    const std::size_t wordings = wording_count(change_.attribute);
    const std::size_t wording = rng_.below(wordings);
    const std::size_t paraphrase = (wording + 1 + rng_.below(wordings - 1)) % wordings;
    const Question asked = label_question(change_.attribute, wording, change_.new_label, {change_.old_label},
                                          LetterCase::kCanonical, rng_);
    const Question reworded = label_question(change_.attribute, paraphrase, change_.new_label, {change_.old_label},
                                             LetterCase::kCanonical, rng_);
    EditRequest& request = fact_.request;
    request.clip = clip_below(source_.audio_root, *clip_);
    request.question = asked.text();
    request.options = asked.options;
    request.old_label = change_.old_label;
    request.new_label = change_.new_label;
    add(ProbeKind::kReliability, 0, "reliability", asked, clip_);
    add(ProbeKind::kGenerality, 1, "generality-1", reworded, clip_);
    add(ProbeKind::kGenerality, 2, "generality-2", asked, &other);
    add(ProbeKind::kGenerality, 3, "generality-3", reworded, &other);
  }

  // What is expected is the true label, as before the edit.
  void add_recognition(int type, const std::string& attribute, const std::string& label) {
    const ClipPlan& clip = source_.clips.draw(attribute, label, nullptr, rng_);
    const Question question =
        label_question(attribute, rng_.below(wording_count(attribute)), label, {}, draw_letter_case(rng_), rng_);
    const std::string name = fmt::format("audio_locality-{}", ++localities_);
    add(ProbeKind::kAudioLocality, type, name, question, &clip).track = attribute;
  }

  void add_audio_locality() {
    std::vector<Label> elsewhere;
    for (const std::string& attribute : source_.attributes) {
      if (attribute == change_.attribute) continue;
      for (const std::string_view label : labels_of(attribute)) {
        if (!avoided_.contains({attribute, std::string(label)})) elsewhere.emplace_back(attribute, label);
      }
    }
    if (!elsewhere.empty()) {
      const Label chosen = rng_.choose(elsewhere);
      add_recognition(1, chosen.first, chosen.second);
    }
    std::vector<std::string> neither;
    for (const std::string_view label : labels_of(change_.attribute)) {
      const bool edited = label == change_.old_label || label == change_.new_label;
      if (!edited && !avoided_.contains({change_.attribute, std::string(label)})) neither.emplace_back(label);
    }
    if (!neither.empty()) add_recognition(2, change_.attribute, rng_.choose(neither));
    add_recognition(3, change_.attribute, change_.new_label);
    std::vector<Label> sounds;  // a small data set has no clip of some
    for (const std::string_view task : kSoundTasks) {
      for (const std::string_view label : labels_of(task)) {
        if (!source_.clips.with_label(task, label).empty()) sounds.emplace_back(task, label);
      }
    }
    const Label sound = rng_.choose(sounds);
    add_recognition(4, sound.first, sound.second);
  }

  void add_text_locality() {
    const std::size_t number = rng_.below(text_fact_count());
    const Question question = text_question(number, rng_.choose(text_wordings(number, source_.clips.split())), rng_);
    Probe& probe = add(ProbeKind::kTextLocality, 0, "text_locality-1", question, nullptr);
    probe.track.clear();
    probe.subject = text_fact_subject(number);
  }

  // A property that the new label has and the old label has not.
  void add_portability() {
    std::vector<std::size_t> telling;
    for (std::size_t p = 0; p < property_count(change_.attribute); ++p) {
      const std::string before = property_value(change_.attribute, p, change_.old_label);
      if (before != property_value(change_.attribute, p, change_.new_label)) telling.push_back(p);
    }
    const Question question =
        property_question(change_.attribute, rng_.choose(telling), change_.new_label, {change_.old_label}, rng_);
    add(ProbeKind::kPortability, 0, "portability", question, clip_);
  }

  const EditSource& source_;
  const Change& change_;
  const std::set<Label>& avoided_;
  Rng rng_;
  Fact fact_;
  const ClipPlan* clip_ = nullptr;
  int localities_ = 0;
};

// Changes over disjoint labels: each attribute's labels, shuffled, two by two; ten of them if there are as many.
std::vector<Change> draw_sequence(const std::vector<std::string>& attributes, Rng& rng) {
  std::vector<Change> changes;
  for (const std::string& attribute : attributes) {
    std::vector<std::string> labels(labels_of(attribute).begin(), labels_of(attribute).end());
    rng.shuffle(labels);
    for (std::size_t i = 0; i + 1 < labels.size(); i += 2) changes.push_back({attribute, labels[i], labels[i + 1]});
  }
  rng.shuffle(changes);
  changes.resize(std::min(changes.size(), kSequenceLength));
  return changes;
}

}  // namespace

FactSet single_edits(const EditSource& source, std::int64_t count, Portability portability, Rng rng) {
  std::vector<Fact> facts;
  for (const std::string& attribute : source.attributes) {
    Rng order = rng.fork(attribute);
    const std::vector<Change> changes = all_changes(attribute, order);
    for (std::int64_t i = 0; i < count; ++i) {
      const Change& change = changes[static_cast<std::size_t>(i) % changes.size()];
      const std::set<Label> avoided{{attribute, change.old_label}};
      FactWriter writer(source, change, avoided, rng.fork("edit-" + attribute, static_cast<std::uint64_t>(i)));
      facts.push_back(writer.write(fmt::format("{:04}", facts.size()), portability));
    }
  }
  return FactSet::of(std::move(facts));
}

FactSet sequential_edits(const EditSource& source, std::int64_t count, Rng rng) {
  std::vector<Fact> facts;
  std::vector<Sequence> sequences;
  for (std::int64_t s = 0; s < count; ++s) {
    Rng own = rng.fork("sequence", static_cast<std::uint64_t>(s));
    const std::vector<Change> changes = draw_sequence(source.attributes, own);
    std::set<Label> avoided;
    for (const Change& change : changes) avoided.emplace(change.attribute, change.old_label);
    const std::size_t begin = facts.size();
    for (std::size_t e = 0; e < changes.size(); ++e) {
      FactWriter writer(source, changes[e], avoided, own.fork("edit", e));
      facts.push_back(writer.write(fmt::format("s{:02}-e{:02}", s, e), Portability::kAsked));
    }
    sequences.push_back({begin, facts.size()});
  }
  return FactSet::of(std::move(facts), std::move(sequences));
}

}  // namespace retune::synth
