// One function a command, each in a file of its own.
#pragma once

#include "cli/command.h"

namespace retune {

Command ask_command();
Command conformance_command();
Command edit_command();
Command eval_command();
Command facts_command();
Command grad_command();
Command help_command();
Command inspect_command();
Command methods_command();
Command operators_command();
Command patch_apply_command();
Command patch_diff_command();
Command patch_merge_command();
Command patch_revert_command();
Command patch_show_command();
Command run_command();
Command score_command();
Command stats_command();
Command study_plan_command();
Command study_run_command();
Command synth_command();
Command train_command();

}  // namespace retune
