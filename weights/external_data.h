// Where a tensor outside the ONNX file lies, and the only way such a file is opened. Locations come from strangers: the
// table of hostile paths that this keeps out is in external_data_test.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "weights/mapped_file.h"

namespace retune {

// The external_data entries of one TensorProto.
struct ExternalRef {
  std::string location;  // relative to the ONNX file's folder, POSIX separators
  std::uint64_t offset = 0;
  std::optional<std::uint64_t> length;  // to the end of the file if absent
};

// Where external files may lie.
struct ExternalRoots {
  std::filesystem::path model_folder;   // of the ONNX file as it was named, links unresolved: locations start here
  std::filesystem::path bundle_folder;  // canonical; holds model_folder; links may resolve beneath it
  std::filesystem::path
      blobs;  // canonical blobs/ of the Hugging Face cache that holds the bundle; empty if it is in none

  // User error if model_folder does not lie in bundle_folder. An empty bundle_folder means the model's own.
  static ExternalRoots of(const std::filesystem::path& model_file, const std::filesystem::path& bundle_folder);
};

// Text from a file as a message may show it: '?' for control characters, at most `limit` bytes and then "...".
std::string printable(std::string_view text, std::size_t limit = 80);

// User error for a location that is empty, absolute in any system's way, or holds NUL, a backslash or a `..` component.
void check_location(std::string_view location);

// Decimal digits only, at most 2^63 - 1; user error naming `key` otherwise.
std::uint64_t parse_external_number(std::string_view key, std::string_view text);

// Opens the file without following any link that was not resolved and judged before, and maps that very descriptor.
// User errors: a bad location, a missing file, one that resolves outside the roots, not a regular file, or a file with
// several hard links unless this user owns it and nobody else may write it.
MappedFile open_external(const ExternalRoots& roots, const std::string& location);

}  // namespace retune
