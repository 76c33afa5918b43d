#include "cli/output_check.h"

#include <filesystem>

#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/session_flags.h"
#include "tensor/staged_output.h"

namespace retune {

namespace {

void check_apart(const std::filesystem::path& out, const Command& command, const Arguments& arguments) {
  for (const Positional& positional : command.positionals)
    for (const std::string& source : arguments.texts(positional.name)) check_output_apart(out, source);
  for (const Flag& flag : command.flags)
    if (flag.type == Flag::Type::kPath && arguments.given(flag.name))
      check_output_apart(out, arguments.path(flag.name));
  if (arguments.given("audio_root")) check_output_holds_not(out, arguments.path("audio_root"));
}

}  // namespace

void check_outputs(const Command& command, const Arguments& arguments) {
  for (const Flag& flag : command.flags) {
    const bool is_file = flag.type == Flag::Type::kOutputFile;
    if ((!is_file && flag.type != Flag::Type::kOutputFolder) || !arguments.given(flag.name)) continue;
    const std::filesystem::path out = arguments.path(flag.name);
    check_apart(out, command, arguments);
    if (is_file) check_output_file(out, existing_output(arguments));
  }
}

}  // namespace retune
