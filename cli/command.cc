#include "cli/command.h"

#include "cli/commands/commands.h"

namespace retune {

const std::vector<Command>& commands() {
  static const std::vector<Command> all = {
      inspect_command(),     ask_command(),          edit_command(),       eval_command(),        score_command(),
      study_plan_command(),  study_run_command(),    facts_command(),      methods_command(),     patch_show_command(),
      patch_apply_command(), patch_revert_command(), patch_diff_command(), patch_merge_command(), stats_command(),
      synth_command(),       train_command(),        run_command(),        grad_command(),        conformance_command(),
      operators_command(),   help_command(),
  };
  return all;
}

const std::vector<Flag>& global_flags() {
  using Type = Flag::Type;
  static const std::vector<Flag> flags = {
      {.name = "json", .type = Type::kSwitch, .meaning = "print results as one JSON document"},
      {.name = "threads",
       .type = Type::kInteger,
       .fallback = "0",
       .meaning = "threads to compute with; 0 is one per processor; no result depends on it",
       .least = 0,
       .most = 4096},
      {.name = "seed",
       .type = Type::kInteger,
       .meaning = "of everything drawn at random; not given: the recipe's, else the command's own",
       .least = 0},
      {.name = "memory",
       .type = Type::kBytes,
       .fallback = "1GiB",
       .meaning = "how much is kept of what was computed, to be used again (B, KiB, MiB, GiB); given, also how much a "
                  "gradient's activations may take before some are computed twice"},
      {.name = "log",
       .type = Type::kText,
       .fallback = "info",
       .meaning = "what is told on standard error; error silences progress",
       .choices = {"error", "warning", "info", "debug"}},
      {.name = "audio_root", .type = Type::kPath, .meaning = "folder of the clips that facts, probes and corpora name"},
      {.name = "help", .type = Type::kSwitch, .meaning = "tell what the command takes and does"},
      {.name = "version", .type = Type::kSwitch, .meaning = "tell version and build options"},
  };
  return flags;
}

}  // namespace retune
