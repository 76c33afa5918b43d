// A change to a model, as a value: what an editor returns, what is saved, applied, taken off, compared and exported.
//
// A Patch holds the differences (never whole weights) and the nodes that are added, where they came from (method,
// resolved recipe, requests, seed, version), and what they are differences to: the hash of the linked graph, the files'
// graph hashes, the payload hash of each edited tensor, and the ids of the patches beneath. ModelView::with() applies
// it only where all of that is so. docs/formats/patch.md is the format.
//
//   Patch patch = editor.edit(...);
//   patch.save("patch.h5");
//   ModelView edited = base.with(std::make_shared<const Patch>(Patch::load("patch.h5")));
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/graph_insert.h"
#include "adapters/prompt_context.h"
#include "adapters/tensor_delta.h"
#include "tensor/content_hash.h"
#include "tensor/tensor.h"

namespace retune {

// The newest of the file format. The number grows with every change of meaning; a patch is of the oldest version that
// can say what it holds (without inserts and context, 1), and a reader refuses those that it does not know.
inline constexpr std::int64_t kPatchVersion = 2;

// "0.1.0": of this library.
std::string_view retune_version();

struct Patch {
  std::string method;  // one word of a-z, 0-9, '-' and '_': "rome", "ft", "diff", "merge"
  std::string recipe;  // resolved, JSON text; may be empty
  std::string facts;   // the edit requests, JSON text; may be empty
  std::uint64_t seed = 0;
  std::string retune{retune_version()};      // the version that made it
  ContentHash graph_hash;                    // ModelView::graph_hash() of the model it is for
  std::map<std::string, ContentHash> files;  // by file: OnnxModel::graph_hash(); names the file that differs
  std::vector<ContentHash> beneath;          // ids of the patches that lay beneath when it was made, bottom first
  std::vector<TensorDelta> deltas;
  std::vector<GraphInsert> inserts;                  // nodes that it adds, in order; no two of a name
  std::map<std::string, Tensor> memory;              // what a method must remember between edits, as increments
  std::map<std::string, std::vector<double>> notes;  // numbers for people: "steps", "loss" (a value a step)
  std::optional<PromptContext> context = {};         // what stands before every question; moves no weight

  std::int64_t version() const;  // of the format
  // SHA-256 over all of the above; the same on every machine. Reads every delta: keep it.
  ContentHash id() const;

  // HDF5, whole or not at all; same Patch, same bytes. User errors: a part that is unsound (see check()), a folder that
  // does not exist; failures: disk.
  void save(const std::filesystem::path& path) const;
  // User errors naming the file: not a patch, another version, damaged (its id differs from its content), hostile
  // (hdf5_layout.h). Large deltas are views of the mapped file.
  static Patch load(const std::filesystem::path& path);
};

// User error if a part of the patch is unsound: check() of every delta, of every insert and of the context, texts that
// are not UTF-8 or hold NUL, a method that is no word.
void check(const Patch& patch);

enum class Detail { kSummary, kFull };  // kFull adds the recipe and the facts

// For people, several lines: what it is, what it is for, each delta with form, rank, norm and targets.
std::string describe(const Patch& patch, Detail detail);
// The same as one JSON object (recipe and facts as JSON where they are JSON).
std::string describe_json(const Patch& patch, Detail detail);

}  // namespace retune
