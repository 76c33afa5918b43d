// How a change is found: requests in, Patch out.
//
//   std::unique_ptr<const Editor> editor = make_editor("rome", settings);            // editors/registry.h
//   Prepared aids = editor->prepare(session, base, corpus, observer);
//   Patch patch = editor->edit(session, base, requests, aids, Rng(seed).fork("edit"), observer);
//   Bundle edited = base.with(std::make_shared<const Patch>(std::move(patch)));
//
// An Editor holds its resolved settings and nothing else: it never writes into a model, keeps nothing between calls and
// knows no model by its name. What it must remember between edits rides in the patch's `memory`; what it learnt about
// the model before the first edit is Prepared. A method is one file and one line in editors/registry.cc.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "adapters/patch.h"
#include "editors/mechanisms/null_space.h"
#include "editors/mechanisms/second_moment.h"
#include "editors/settings.h"
#include "facts/corpus.h"
#include "facts/edit_request.h"
#include "graph/session.h"
#include "lalm/bundle.h"
#include "learning/hyper_network.h"
#include "learning/lesson.h"
#include "learning/model_part.h"
#include "learning/step_observer.h"
#include "tensor/rng.h"

namespace retune {

// What is known about a model before its first edit. Belongs to the model without patches, and stays right on any stack
// of patches (methods.md 4: statistics are not recomputed during sequential edits).
struct Prepared {
  LossGraphs losses;
  std::map<std::string, SecondMoment> second_moments;  // by canonical site name
  std::map<std::string, NullSpace> null_spaces;        // by canonical site name
  std::optional<ModelPart> part;  // of the model without patches, for methods that train a part alone
  std::optional<Corpus> corpus;   // the recipe's, for methods that put some of it to the model at each edit
  std::shared_ptr<const HyperNetwork> network = nullptr;  // of methods that apply a trained one
  std::map<std::string, double> measures;                 // numbers that a method takes once, by names of its own
};

struct EditorInfo {
  std::string word;     // "rome"
  std::string summary;  // a sentence
  std::string paper;    // where it comes from
  // What prepare() needs beside the model: "nothing", "a corpus", ...
  std::string needs;
  bool batch = false;         // one patch for several requests
  bool sequential = false;    // may be applied again to a model that it has edited
  bool moves_weights = true;  // false: sites() is empty, and what changes is what stands before a question
};

class Editor {
 public:
  virtual ~Editor() = default;
  virtual const EditorInfo& info() const = 0;
  virtual const Settings& settings() const = 0;  // resolved

  // The sites whose weights an edit may move, found without asking the model; none where info().moves_weights is false.
  // User error for one that it does not have.
  virtual std::vector<Site> sites(const Bundle& bundle) const = 0;

  // `corpus` may be null where the settings need none. User errors: a missing corpus, files that do not belong to the
  // model.
  virtual Prepared prepare(Session& session, const Bundle& bundle, const Corpus* corpus,
                           const StepObserver& observer = {}) const;

  // A patch on top of `bundle`, which may have patches already. Fills everything but `recipe` and `seed`, which are the
  // caller's: the resolved settings stand in `recipe` until it writes the whole. No requests give a patch without
  // deltas. The patch's notes hold "loss" (a value a step), "updates" and what the method adds. User errors: more than
  // one request where info().batch is false, a request that the model cannot be asked, settings that do not fit the
  // model; failures: a loss that is not finite.
  virtual Patch edit(Session& session, const Bundle& bundle, std::span<const EditRequest> requests,
                     const Prepared& prepared, Rng rng, const StepObserver& observer = {}) const = 0;
};

// A patch with everything that says what it is for, and no deltas.
Patch empty_patch(const Editor& editor, const Bundle& bundle, std::span<const EditRequest> requests);

// The edit requests as the JSON text that patches keep.
std::string requests_text(std::span<const EditRequest> requests);

// A part's name with the block written out: "decoder.block.last.mlp", "decoder.block.last-2.mlp.up" and
// "decoder.block.55%.mlp.down" name a block by its place in this model's stack (round(0.55 L), at most L - 1). Other
// names are returned as they are.
std::string part_in(const SiteMap& sites, const std::string& part);

}  // namespace retune
