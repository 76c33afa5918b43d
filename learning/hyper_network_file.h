// A trained hyper-network on disk (docs/formats/hyper-network.md), and what it was trained for.
//
//   const HyperNetworkFile file = HyperNetworkFile::load("mend.h5");
//   check_belongs(file, "mend.h5", "mend", bundle);
//   std::unique_ptr<HyperNetwork> network = find_hyper_network_kind(file.kind)->make(file.state);
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "learning/hyper_network.h"
#include "tensor/content_hash.h"

namespace retune {

struct HyperNetworkFile {
  std::string kind;        // HyperNetworkKind::word
  ContentHash model;       // Bundle::hash() without patches
  ContentHash facts;       // what it was trained on
  ContentHash settings;    // of the training
  std::int64_t edits = 0;  // that it was trained on, repetitions counted
  HyperState state;

  // HDF5; whole or not at all; same content, same bytes. `stored`: f32 or f16, of the parameters.
  void save(const std::filesystem::path& path, DType stored = DType::kF32) const;
  // Parameters are f32 whatever is stored. User errors: not such a file, of another version, of no kind there is,
  // damaged.
  static HyperNetworkFile load(const std::filesystem::path& path);
};

// User error if the file is of another kind, or for another model than the bundle without its patches. `path` stands in
// the message.
void check_belongs(const HyperNetworkFile& file, const std::filesystem::path& path, const std::string& kind,
                   const Bundle& bundle);

}  // namespace retune
