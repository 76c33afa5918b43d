// What can be written behind a command, as data: parsing, help texts and the manual are made from the same list.
//
// gflags is not used: its flags are process-wide variables with one default and one meaning for all commands, its
// parser exits with codes of its own, and run_cli() would not be callable twice.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace retune {

struct Flag {
  enum class Type {
    kSwitch,   // --name, --name=false, --noname
    kInteger,  // --name 3
    kNumber,   // --name 0.5
    kText,
    kPath,        // to read, or to read and write
    kOutputFile,  // to write (output_check.h); the command has --force too
    kOutputFolder,
    kTexts,    // --name A,B,C; a comma inside one is written "\,"
    kNumbers,  // --name 0.5,0.25
    kBytes,    // --name 2GiB; B, KiB, MiB, GiB, TiB
  };

  std::string name{};  // without dashes; words joined by '_' (a '-' is taken for one)
  Type type = Type::kText;
  std::string fallback{};  // as it would be written; empty: none
  std::string meaning{};   // half a sentence, with the unit of numbers
  std::optional<double> least{};
  std::optional<double> most{};
  std::vector<std::string> choices{};  // of a kText or of each of kTexts; empty: any
  bool required = false;
};

// "integer", "text,...", "" for a switch: what stands behind the name in help texts.
std::string_view placeholder(Flag::Type type);

struct Positional {
  enum class Count { kOne, kOptional, kMany, kAny };  // kMany: one or more, kAny: any number; only as the last
  std::string name{};                                 // in capitals: "MODEL"
  std::string meaning{};
  Count count = Count::kOne;
};

// Bytes of "512MiB", "1.5GiB", "4096" or "4096B". A user error that says what is understood.
std::int64_t parse_bytes(std::string_view text);

}  // namespace retune
