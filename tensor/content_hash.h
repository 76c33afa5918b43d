// SHA-256 of content: what identifies models, tensors, clips, settings.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace retune {

struct ContentHash {
  std::array<std::uint8_t, 32> bytes{};

  static ContentHash of(std::string_view text);
  static ContentHash of(std::span<const std::byte> data);
  // Throws a failure naming the file if it cannot be read.
  static ContentHash of_file(const std::filesystem::path& path);
  // 64 lower-case hexadecimal digits, and back (user error on anything else).
  std::string hex() const;
  static ContentHash from_hex(std::string_view hex);

  friend auto operator<=>(const ContentHash&, const ContentHash&) = default;
};

// Hashes a stream. Text and numbers are framed (length first), so that two different sequences of fields never collide.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  Hasher& raw(std::span<const std::byte> data);  // unframed
  Hasher& add(std::string_view text);
  Hasher& add(std::int64_t value);
  Hasher& add(const ContentHash& hash);
  ContentHash finish();  // once

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace retune
