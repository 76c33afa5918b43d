#include "tensor/content_hash.h"

#include <openssl/evp.h>

#include <fstream>
#include <vector>

#include "tensor/error.h"

namespace retune {

struct Hasher::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Hasher::Hasher() : state_(std::make_unique<State>()) {
  if (state_->context == nullptr || EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) != 1)
    throw failure("SHA-256 is not available in this OpenSSL");
}
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

Hasher& Hasher::raw(std::span<const std::byte> data) {
  if (!data.empty()) EVP_DigestUpdate(state_->context, data.data(), data.size());
  return *this;
}

Hasher& Hasher::add(std::string_view text) {
  add(static_cast<std::int64_t>(text.size()));
  return raw(std::as_bytes(std::span(text)));
}

Hasher& Hasher::add(std::int64_t value) {
  std::array<std::byte, 8> bytes{};
  for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<std::byte>(static_cast<std::uint64_t>(value) >> (8 * i));
  return raw(bytes);
}

Hasher& Hasher::add(const ContentHash& hash) { return raw(std::as_bytes(std::span(hash.bytes))); }

ContentHash Hasher::finish() {
  ContentHash result;
  EVP_DigestFinal_ex(state_->context, result.bytes.data(), nullptr);
  return result;
}

ContentHash ContentHash::of(std::string_view text) { return of(std::as_bytes(std::span(text))); }

ContentHash ContentHash::of(std::span<const std::byte> data) {
  Hasher hasher;
  hasher.raw(data);
  return hasher.finish();
}

ContentHash ContentHash::of_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw failure("cannot read {}", path.string());
  Hasher hasher;
  std::vector<char> buffer(1 << 20);
  while (file) {
    file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    hasher.raw(std::as_bytes(std::span(buffer.data(), static_cast<std::size_t>(file.gcount()))));
  }
  if (file.bad()) throw failure("cannot read {}", path.string());
  return hasher.finish();
}

std::string ContentHash::hex() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string result;
  for (const std::uint8_t byte : bytes) {
    result += kDigits[byte >> 4];
    result += kDigits[byte & 15];
  }
  return result;
}

ContentHash ContentHash::from_hex(std::string_view hex) {
  const auto digit = [&](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    throw user_error("'{}' is not a SHA-256 hash: expected 64 hexadecimal digits", hex);
  };
  if (hex.size() != 64) throw user_error("'{}' is not a SHA-256 hash: expected 64 hexadecimal digits", hex);
  ContentHash result;
  for (std::size_t i = 0; i < 32; ++i)
    result.bytes[i] = static_cast<std::uint8_t>(digit(hex[2 * i]) * 16 + digit(hex[2 * i + 1]));
  return result;
}

}  // namespace retune
