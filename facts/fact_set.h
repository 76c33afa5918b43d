// Facts in SAKE's JSON (arXiv 2510.16917): what to change and what to ask about it, read, checked, and written again.
//
//   FactSet facts = FactSet::load("demo/facts.json", {.audio_root = "demo/audio"});
//   for (const EditRequest& request : facts.requests()) ...
//
// Three layouts, told apart by content: a list of items (one attribute a file, or a `track` an item), one sequence (the
// same, in order), and a list of sequences (a list of lists). Only `file`, `reliability_question` and `edited_answer`
// are required. A probe kind that is absent is absent, not empty. The format is docs/formats/facts.md.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "facts/corpus.h"
#include "facts/edit_request.h"
#include "facts/probe.h"

namespace retune {

struct FactOptions {
  // Where clips lie; empty: `audio` beside the facts if there is such a folder, else the folder of the facts.
  std::filesystem::path audio_root = {};
  // For items without `track`; empty: the file's name without its extension ("Animal.json").
  std::string attribute = {};
};

struct Fact {
  EditRequest request;
  std::vector<Probe> probes;  // reliability, generality, audio locality, text locality, portability, each in file order
};

// Half-open range of facts() whose edits are made one after another.
struct Sequence {
  std::size_t begin = 0;
  std::size_t end = 0;
};

class FactSet {
 public:
  // A user error, one line with file, item (from 0) and key, on: bad JSON, a missing or mistyped key, an option list
  // without the right answer, equal old and new labels, a path that leaves the audio root. No audio is opened.
  static FactSet load(const std::filesystem::path& path, const FactOptions& options = {});
  // From parts, e.g. of a synthesiser. `sequences` must cut facts into consecutive ranges; empty makes all one
  // sequence.
  static FactSet of(std::vector<Fact> facts, std::vector<Sequence> sequences = {});

  // Writes SAKE's JSON: a list of lists if there are several sequences, else a list. Every item has its `track`. The
  // same facts give the same bytes, and load() reads equal facts back. A failure if the disk is full; the file is then
  // as before.
  void save(const std::filesystem::path& path) const;

  const std::vector<Fact>& facts() const { return facts_; }
  const std::vector<Sequence>& sequences() const { return sequences_; }
  std::vector<EditRequest> requests() const;
  std::vector<Probe> probes() const;

  // The first `count` facts, sequences cut short.
  FactSet limited(std::size_t count) const;

  // Of each attribute the first `count` facts, in their order, as one sequence. User error if there are several
  // sequences: they would not be the same ones.
  FactSet limited_each(std::size_t count) const;

  // Every clip of a request or probe, in file order; a clip that several ask about stands there as often.
  std::vector<ClipUse> clips() const;
  // check_located (facts/clip.h) of them.
  void check_audio() const;

  // Keys in the file that nothing reads, with how often ("generalty": 300): a misspelt kind shows here.
  const std::map<std::string, std::size_t>& ignored_keys() const { return ignored_keys_; }

 private:
  std::vector<Fact> facts_;
  std::vector<Sequence> sequences_;
  std::map<std::string, std::size_t> ignored_keys_;
};

// One fact given by hand, with its own question as its only probe. `old_answer` may be empty: unknown. User error
// if the question or the answer is empty, the answers are the same, or the question lists options and an answer is none
// of them.
FactSet fact_of(const std::filesystem::path& audio, const std::string& question, const std::string& answer,
                const std::string& old_answer = "");

// FactOptions::audio_root where it is not given.
std::filesystem::path default_audio_root(const std::filesystem::path& facts_file);

// Test clips must never enter statistics, replay or training: a user error naming the first clip that the corpus and
// the facts share, by contents.
void refuse_shared_clips(const Corpus& corpus, const FactSet& facts);

}  // namespace retune
