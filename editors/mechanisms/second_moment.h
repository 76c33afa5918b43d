// The uncentred second moment of the keys of a site, C = E[k k^T] over the tokens of a corpus (methods.md section 4):
// what a closed-form edit must leave alone.
//
//   SecondMoment moment = measure_second_moment(session, bundle, bundle.site("decoder.block.3.mlp.down"), corpus, {});
//   moment.save("down3.h5");
//   std::vector<double> x = moment.solve(key, 1, {}, 1e-6);        // (C + rho tr(C)/k I) x = key, f64
//
// Sums are f64, one a class of token. The stream of tokens is cut into blocks of 4,096, and the blocks are summed along
// a fixed binary tree by their index: a run that was interrupted and resumed, on any number of threads, gives the same
// bytes. Memory: k (k + 1) / 2 doubles a class that occurs, times one and log2(blocks).
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "facts/corpus.h"
#include "graph/session.h"
#include "lalm/bundle.h"
#include "lalm/prompt.h"
#include "learning/step_observer.h"
#include "tensor/content_hash.h"
#include "tensor/thread_pool.h"

namespace retune {

enum class TokenClass : std::uint8_t {
  kText,       // the question's own words
  kAudioSlot,  // positions that hold sound; every row of encoder and connector
  kTemplate,   // what the chat template puts around them
  kAnswer,     // the corpus's answer and the end-of-turn token
};
inline constexpr std::size_t kTokenClasses = 4;
inline constexpr std::int64_t kBlockTokens = 4096;

// "text", "audio_slot", "template", "answer", and back (user error).
std::string_view token_class_name(TokenClass token_class);
TokenClass token_class_from_name(const std::string& name);

struct ClassSum {
  std::int64_t tokens = 0;
  std::vector<double> sum;  // sum of k k^T, the upper triangle row by row, [k (k + 1) / 2]; empty where tokens is 0
};
using ClassSums = std::array<ClassSum, kTokenClasses>;

// What a second moment was computed from. Two with the same identity have the same bytes.
struct MomentIdentity {
  std::string site;      // canonical name
  ContentHash model;     // Bundle::hash() without patches
  ContentHash corpus;    // Corpus::hash()
  ContentHash settings;  // block size, prompt template, front-end padding
  friend bool operator==(const MomentIdentity&, const MomentIdentity&) = default;
};

struct SecondMoment {
  MomentIdentity identity;
  std::int64_t width = 0;  // k
  ClassSums classes;

  std::int64_t tokens() const;
  // C, [k, k] row-major, of the tokens of these classes together; of all if empty. User error if there are none.
  std::vector<double> matrix(std::span<const TokenClass> of = {}) const;
  // Solves (C + rho tr(C)/k I) x = b for `columns` right-hand sides, [k, columns]. Errors as ridge_solve.
  std::vector<double> solve(std::span<const double> b, std::int64_t columns, std::span<const TokenClass> of,
                            double ridge) const;

  // HDF5, docs/formats/second-moment.md; whole or not at all.
  void save(const std::filesystem::path& path) const;
  // User errors: not such a file, of another version, not finished, damaged.
  static SecondMoment load(const std::filesystem::path& path);
};

// Of the tokens of both. User error if model, site or settings differ. The corpus's hash becomes that of both hashes in
// order.
SecondMoment merge(const SecondMoment& a, const SecondMoment& b);

// Sums a stream of keys.
class MomentAccumulator {
 public:
  explicit MomentAccumulator(std::int64_t width) : width_(width) {}

  // `keys` [classes.size(), width]. How the stream is cut into calls changes no bit.
  void add(std::span<const float> keys, std::span<const TokenClass> classes, ThreadPool& pool);
  // Of everything so far; the accumulator may go on.
  ClassSums sums(ThreadPool& pool) const;
  std::int64_t width() const { return width_; }

  // Complete subtrees of the sum, the largest first, and the keys of the block that is not full: all that must be kept
  // to go on.
  struct Subtree {
    std::int64_t level = 0;  // of 2^level blocks
    ClassSums sums;
  };
  struct State {
    std::vector<Subtree> subtrees;
    std::vector<float> keys;
    std::vector<TokenClass> classes;
  };
  const State& state() const { return state_; }
  void restore(State state) { state_ = std::move(state); }

 private:
  std::int64_t width_;
  State state_;
};

struct MomentOptions {
  // A file a site, in their order, or none. Where one is there, its site goes on from it; all are removed when done.
  std::vector<std::filesystem::path> checkpoints;
  std::int64_t checkpoint_every = 500;  // items; >= 1
  // Asked after each item; false stops after a checkpoint with Error{kInterrupted}.
  std::function<bool()> go_on;
};

// Class of each of the prompt's positions and, behind them, `answer` positions.
std::vector<TokenClass> token_classes(const Bundle& bundle, const Prompt& prompt, std::int64_t answer);

// What measure_second_moments would give.
MomentIdentity moment_identity(const Bundle& bundle, const Site& site, const Corpus& corpus);

// Puts every item of the corpus to the model without patches, with its answer behind the prompt, and sums the keys of
// the sites, each by itself: one forward pass an item for all of them, which stops at the last. In the order of the
// sites. User errors: no site, two of one name, a site without keys, a checkpoint of something else, a corpus item that
// cannot be asked.
std::vector<SecondMoment> measure_second_moments(Session& session, const Bundle& bundle, std::span<const Site> sites,
                                                 const Corpus& corpus, const MomentOptions& options,
                                                 const StepObserver& observer = {});
// Of one site.
SecondMoment measure_second_moment(Session& session, const Bundle& bundle, const Site& site, const Corpus& corpus,
                                   const MomentOptions& options, const StepObserver& observer = {});

// User error if the moment is not one of the site of the bundle (without its patches).
void check_belongs(const SecondMoment& moment, const Bundle& bundle, const Site& site);

}  // namespace retune
