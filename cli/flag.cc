#include "cli/flag.h"

#include <charconv>
#include <cmath>
#include <limits>

#include "tensor/error.h"

namespace retune {

std::string_view placeholder(Flag::Type type) {
  switch (type) {
    case Flag::Type::kSwitch:
      return "";
    case Flag::Type::kInteger:
      return "INTEGER";
    case Flag::Type::kNumber:
      return "NUMBER";
    case Flag::Type::kText:
      return "TEXT";
    case Flag::Type::kPath:
    case Flag::Type::kOutputFile:
    case Flag::Type::kOutputFolder:
      return "PATH";
    case Flag::Type::kTexts:
      return "TEXT,...";
    case Flag::Type::kNumbers:
      return "NUMBER,...";
    case Flag::Type::kBytes:
      return "SIZE";
  }
  return "";
}

std::int64_t parse_bytes(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  double factor = 0;
  if (unit.empty() || unit == "B") factor = 1;
  if (unit == "KiB") factor = 0x1p10;
  if (unit == "MiB") factor = 0x1p20;
  if (unit == "GiB") factor = 0x1p30;
  if (unit == "TiB") factor = 0x1p40;
  const double bytes = number * factor;
  if (error != std::errc{} || factor == 0 || !(bytes >= 0 && bytes < 0x1p62))
    throw user_error("expected a size such as 512MiB or 2GiB (B, KiB, MiB, GiB, TiB), got '{}'", text);
  return static_cast<std::int64_t>(bytes);
}

}  // namespace retune
