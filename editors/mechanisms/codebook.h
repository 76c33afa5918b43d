// Keys with radii and values: what GRACE remembers of one site (methods.md 5.16; Hartvigsen et al. 2023, arXiv
// 2211.11031).
//
//   Codebook book = Codebook::of(bundle.view(), "grace/decoder.block.3.mlp.down");
//   const Placing placing = book.place(key, label, {.radius = 2.5});
//   book.set_value(placing.entry, value);
//   patch.memory = book.changes_since(before, "grace/decoder.block.3.mlp.down");
//
// A query belongs to the entry with the nearest key (L2) if that is within the entry's radius. Distances are f64, of
// f32 keys; radii are f64 and never negative.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "adapters/model_view.h"
#include "tensor/tensor.h"

namespace retune {

struct CodebookEntry {
  std::vector<float> key;    // [in]
  std::vector<float> value;  // [out]; empty until set
  double radius = 0;
  std::vector<std::int64_t> label;  // ids of the target: compared as a sequence
  friend bool operator==(const CodebookEntry&, const CodebookEntry&) = default;
};

struct CodebookRules {
  double radius = 1;  // of a new entry, > 0
  // How an entry reaches a query of its own label outside it: the radius grows to it, or the key moves halfway to it
  // too.
  enum class Growth { kCoverage, kMovingAverage } growth = Growth::kCoverage;
  // No radius is more than half the distance to the nearest key of another label, so that no entry covers one. Off: as
  // in the reference, where entries do come to.
  bool capped = true;
};

struct Placing {
  enum class Kind {
    kAdded,     // far from every key
    kSplit,     // added, and the nearest entry, of another label, drew back
    kReplaced,  // the same key with another label: its label changed
    kGrown,     // the nearest entry, of the same label, reaches it now
    kCovered,   // it did already
  };
  Kind kind = Kind::kAdded;
  std::size_t entry = 0;                                      // whose value is to be trained
  double distance = std::numeric_limits<double>::infinity();  // to the nearest key there was
};

class Codebook {
 public:
  Codebook() = default;

  // What the patches of a stack left under `name`. User errors: memory that is damaged, or that lacks for an insert of
  // that name.
  static Codebook of(const ModelView& view, const std::string& name);

  const std::vector<CodebookEntry>& entries() const { return entries_; }

  // Makes room for a query [in], by the rules of 5.16:
  //   no entry, or d > rules.radius + radius_i    a new entry of rules.radius
  //   another label                               radius_i = max(0, d/2 - 1e-5), a new entry of d/2; d = 0: it replaces
  //   the same label, d > radius_i                coverage: radius_i = d; moving average: and key_i halfway to it
  // i is the nearest entry, d its distance. Where the cap keeps entry i from reaching the query it gets an entry of its
  // own. New and replaced entries have no value.
  Placing place(std::span<const double> query, const std::vector<std::int64_t>& label, const CodebookRules& rules);

  void set_value(std::size_t entry, std::span<const double> value);
  // The entry that answers a query, if one does. `slack` as in codebook_insert.h.
  std::optional<std::size_t> find(std::span<const double> query, double slack = 0) const;
  Codebook without(std::size_t entry) const;

  // As tensors for Patch::memory, under names that begin with `name`: the entries that `before` lacks or has otherwise.
  // `before` has no more entries than this.
  std::map<std::string, Tensor> changes_since(const Codebook& before, const std::string& name) const;

 private:
  struct Near {
    std::size_t entry;
    double distance;
  };
  std::optional<Near> nearest(std::span<const double> query) const;
  double room_of(const CodebookEntry& entry) const;
  Placing add(std::span<const double> query, const std::vector<std::int64_t>& label, double radius,
              const CodebookRules& rules);
  bool grow(std::size_t entry, std::span<const double> query, const CodebookRules& rules);
  void make_room(std::size_t entry, const CodebookRules& rules);
  void take_over(const std::map<std::string, Tensor>& memory, const std::string& name);

  std::vector<CodebookEntry> entries_;
};

}  // namespace retune
