// What a study has done so far: an append-only file that survives being killed at any moment.
//
//   Journal journal = Journal::open("out/journal.jsonl", identity);
//   for (const std::string& entry : journal.entries()) ...     // what earlier runs did
//   journal.append(R"({"cell":3,...})");                       // on disk when it returns
//
// JSON Lines. A line is {"crc":"XXXXXXXX","entry":ENTRY} with the CRC-32 (IEEE 802.3, as zlib's) of the bytes of ENTRY;
// the first line's entry is {"journal":1,"study":"SHA-256 of what is studied"}. A last line that was torn by a kill or
// a full disk is dropped; damage anywhere else is refused.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/content_hash.h"

namespace retune {

class Journal {
 public:
  // Asked where the file is another study's, with the entries of that: removes what lies beside the journal and says
  // true, to begin anew, or false, to refuse. The journal is locked meanwhile, so nobody is at work there.
  using MakeWay = std::function<bool(const std::vector<std::string>& entries)>;

  // Begins the file, or goes on with it. User errors: it belongs to another study that does not make way, a line that
  // is not the last is damaged, it is no journal, another process works with it, no place to write to. Failures: disk.
  // Whether the file is the journal of this study, begun or further; false where there is none. Writes nothing.
  static bool is_of(const std::filesystem::path& path, const ContentHash& study);
  static Journal open(const std::filesystem::path& path, const ContentHash& study, const MakeWay& make_way = {});
  ~Journal();
  Journal(Journal&&) noexcept;
  Journal& operator=(Journal&&) = delete;

  // JSON values as text, in the order in which they were appended.
  const std::vector<std::string>& entries() const { return entries_; }
  // Flushed to disk on return. `entry` is one JSON value without line breaks. A failure leaves the entries as before.
  void append(std::string_view entry);

 private:
  Journal(std::filesystem::path path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}
  void begin_or_read(const ContentHash& study, const MakeWay& make_way);
  void shorten(std::size_t bytes);
  void write(std::string_view entry);

  std::filesystem::path path_;
  int descriptor_ = -1;
  std::vector<std::string> entries_;
};

std::uint32_t crc32(std::string_view bytes);

}  // namespace retune
