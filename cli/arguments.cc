#include "cli/arguments.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <stdexcept>

#include "tensor/error.h"
#include "tensor/nearest_word.h"

namespace retune {

namespace {

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> parts(1);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size() && text[i + 1] == ',')
      parts.back() += text[++i];
    else if (text[i] == ',')
      parts.emplace_back();
    else
      parts.back() += text[i];
  }
  return parts;
}

template <class Number>
std::optional<Number> parse_number(const std::string& text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

// How errors begin and end. The program itself, without a command, has no name.
std::string place(const std::string& command) { return command.empty() ? "" : command + ": "; }
std::string see(const std::string& command) {
  return command.empty() ? "see retune --help" : "see retune " + command + " --help";
}

// Checks a value against its flag and cuts lists.
class ValueReader {
 public:
  ValueReader(const std::string& command, const Flag& flag) : command_(command), flag_(flag) {}

  std::vector<std::string> read(const std::string& value) const {
    switch (flag_.type) {
      case Flag::Type::kSwitch:
        if (value != "true" && value != "false") throw wrong("true or false", value);
        return {value};
      case Flag::Type::kInteger:
        check_range(parse_number<std::int64_t>(value), "an integer", value);
        return {value};
      case Flag::Type::kNumber:
        check_range(parse_number<double>(value), "a number", value);
        return {value};
      case Flag::Type::kBytes:
        check_bytes(value);
        return {value};
      case Flag::Type::kPath:
      case Flag::Type::kOutputFile:
      case Flag::Type::kOutputFolder:
        if (value.empty()) throw wrong("a path", value);
        return {value};
      case Flag::Type::kText:
        check_choice(value);
        return {value};
      case Flag::Type::kTexts:
      case Flag::Type::kNumbers:
        break;
    }
    std::vector<std::string> parts = split_list(value);
    for (const std::string& part : parts) {
      if (part.empty()) throw wrong("values between single commas", value);
      if (flag_.type == Flag::Type::kNumbers)
        check_range(parse_number<double>(part), "a number", part);
      else
        check_choice(part);
    }
    return parts;
  }

 private:
  Error wrong(const std::string& expected, const std::string& value) const {
    return user_error("{}--{}: expected {}, got '{}'; {}", place(command_), flag_.name, expected, value, see(command_));
  }

  template <class Number>
  void check_range(const std::optional<Number>& number, const std::string& what, const std::string& value) const {
    if (!number || !std::isfinite(static_cast<double>(*number))) throw wrong(what, value);
    if (flag_.least && static_cast<double>(*number) < *flag_.least)
      throw wrong(fmt::format("{} of at least {}", what, *flag_.least), value);
    if (flag_.most && static_cast<double>(*number) > *flag_.most)
      throw wrong(fmt::format("{} of at most {}", what, *flag_.most), value);
  }

  void check_bytes(const std::string& value) const {
    try {
      parse_bytes(value);
    } catch (const Error&) {
      throw wrong("a size such as 512MiB or 2GiB", value);
    }
  }

  void check_choice(const std::string& value) const {
    if (flag_.choices.empty() || std::find(flag_.choices.begin(), flag_.choices.end(), value) != flag_.choices.end())
      return;
    throw wrong("one of " + joined(flag_.choices), value);
  }

  const std::string& command_;
  const Flag& flag_;
};

const Flag* find_flag(std::span<const Flag> flags, std::string name) {
  std::replace(name.begin(), name.end(), '-', '_');
  for (const Flag& flag : flags)
    if (flag.name == name) return &flag;
  return nullptr;
}

Error unknown_flag(const std::string& command, std::span<const Flag> flags, const std::string& name) {
  std::vector<std::string> names;
  for (const Flag& flag : flags) names.push_back(flag.name);
  return user_error("{}there is no flag --{}; did you mean --{}? {}", place(command), name, nearest_word(name, names),
                    see(command));
}

// A flag as written: "--name=value", "--name", "--noname".
struct Written {
  const Flag* flag = nullptr;
  std::optional<std::string> value;
};

Written read_flag(const std::string& command, std::span<const Flag> flags, const std::string& word) {
  std::string name = word == "-h" ? "help" : word.substr(word.find_first_not_of('-'));
  Written written;
  if (const std::size_t equals = name.find('='); equals != std::string::npos) {
    written.value = name.substr(equals + 1);
    name.resize(equals);
  }
  written.flag = find_flag(flags, name);
  if (written.flag == nullptr && name.starts_with("no") && !written.value) {
    written.flag = find_flag(flags, name.substr(2));
    if (written.flag != nullptr && written.flag->type == Flag::Type::kSwitch)
      written.value = "false";
    else
      written.flag = nullptr;
  }
  if (written.flag == nullptr) throw unknown_flag(command, flags, name);
  if (written.flag->type == Flag::Type::kSwitch && !written.value) written.value = "true";
  return written;
}

bool looks_like_flag(const std::string& word) {
  return word.size() > 1 && word[0] == '-' && word.find_first_not_of('-') != std::string::npos &&
         !parse_number<double>(word);
}

}  // namespace

std::vector<std::string> Arguments::take_flags(const std::string& command, std::span<const Flag> flags,
                                               std::span<const std::string> words) {
  std::vector<std::string> rest;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--") {
      rest.insert(rest.end(), words.begin() + static_cast<std::ptrdiff_t>(i) + 1, words.end());
      break;
    }
    if (!looks_like_flag(words[i])) {
      rest.push_back(words[i]);
      continue;
    }
    Written written = read_flag(command, flags, words[i]);
    const std::string& name = written.flag->name;
    if (!written.value) {
      // A value that begins with two dashes is more often a forgotten one.
      if (i + 1 == words.size() || words[i + 1].starts_with("--"))
        throw user_error("{}--{} needs a value (--{}={}); {}", place(command), name, name,
                         placeholder(written.flag->type), see(command));
      written.value = words[++i];
    }
    if (!given_.insert(name).second) throw user_error("{}--{} is given twice; give it once", place(command), name);
    values_[name] = ValueReader(command, *written.flag).read(*written.value);
  }
  return rest;
}

void Arguments::take_positionals(const Command& command, std::span<const std::string> words) {
  using Count = Positional::Count;
  for (const Positional& positional : command.positionals) {
    if (words.empty() && (positional.count == Count::kOne || positional.count == Count::kMany))
      throw user_error("{}{} is missing ({}); {}", place(command.name), positional.name, positional.meaning,
                       see(command.name));
    const bool all = positional.count == Count::kMany || positional.count == Count::kAny;
    const std::size_t taken = all ? words.size() : std::min<std::size_t>(words.size(), 1);
    values_[positional.name].assign(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(taken));
    if (taken > 0) given_.insert(positional.name);
    words = words.subspan(taken);
  }
  if (!words.empty())
    throw user_error("{}'{}' is one argument too many; {}", place(command.name), words.front(), see(command.name));
}

Arguments Arguments::parse(const Command& command, std::span<const std::string> words) {
  std::vector<Flag> flags = command.flags;
  flags.insert(flags.end(), global_flags().begin(), global_flags().end());
  Arguments result;
  for (const Positional& positional : command.positionals) result.values_[positional.name];
  for (const Flag& flag : flags) {
    auto& value = result.values_[flag.name];
    if (!flag.fallback.empty()) value = ValueReader(command.name, flag).read(flag.fallback);
  }
  const std::vector<std::string> rest = result.take_flags(command.name, flags, words);
  if (result.on("help") || result.on("version")) return result;
  result.take_positionals(command, rest);
  for (const Flag& flag : command.flags)
    if (flag.required && !result.given(flag.name))
      throw user_error("{}--{} is missing ({}); {}", place(command.name), flag.name, flag.meaning, see(command.name));
  return result;
}

const std::vector<std::string>& Arguments::values(std::string_view name) const {
  const auto it = values_.find(name);
  if (it == values_.end()) throw std::logic_error("the command has no argument '" + std::string(name) + "'");
  return it->second;
}

bool Arguments::given(std::string_view name) const {
  values(name);
  return given_.contains(name);
}

bool Arguments::on(std::string_view name) const { return text(name) == "true"; }

std::string Arguments::text(std::string_view name) const { return values(name).empty() ? "" : values(name).front(); }

std::filesystem::path Arguments::path(std::string_view name) const { return text(name); }

std::vector<std::string> Arguments::texts(std::string_view name) const { return values(name); }

std::int64_t Arguments::integer(std::string_view name) const {
  return parse_number<std::int64_t>(text(name)).value_or(0);
}

double Arguments::number(std::string_view name) const { return parse_number<double>(text(name)).value_or(0); }

std::vector<double> Arguments::numbers(std::string_view name) const {
  std::vector<double> result;
  for (const std::string& text : values(name)) result.push_back(parse_number<double>(text).value_or(0));
  return result;
}

std::int64_t Arguments::bytes(std::string_view name) const { return parse_bytes(text(name)); }

}  // namespace retune
