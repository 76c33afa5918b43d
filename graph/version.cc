#include <bit>
#include <cstring>

#include "graph/session.h"

namespace retune {

Version version_of(const ContentHash& hash) {
  Version result;
  std::memcpy(&result.high, hash.bytes.data(), 8);
  std::memcpy(&result.low, hash.bytes.data() + 8, 8);
  return result;
}

Version version_of(std::string_view text) { return version_of(ContentHash::of(text)); }

Version version_of(const Tensor& tensor) {
  Hasher hasher;
  hasher.add(static_cast<std::int64_t>(tensor.dtype()));
  for (const std::int64_t extent : tensor.shape()) hasher.add(extent);
  hasher.raw({tensor.raw(), tensor.bytes()});
  return version_of(hasher.finish());
}

namespace {

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  const __uint128_t product = static_cast<__uint128_t>(a ^ 0x9e3779b97f4a7c15u) * (b ^ 0xd1b54a32d192ed03u);
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

}  // namespace

Version combine(Version a, Version b) {
  // Not symmetric: the order of inputs matters.
  return {mix(a.high + 0x2545f4914f6cdd1du, std::rotl(b.high, 23) + a.low),
          mix(a.low + 0x632be59bd9b4e019u, std::rotl(b.low, 41) + b.high) + a.high};
}

}  // namespace retune
