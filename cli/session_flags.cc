#include "cli/session_flags.h"

#include <fmt/format.h>

namespace retune {

namespace {

std::string loss_text(double loss) { return loss == 0 ? "" : fmt::format("loss {:.4g}", loss); }

}  // namespace

SessionOptions session_options(const Arguments& arguments) {
  SessionOptions options{.threads = static_cast<int>(arguments.integer("threads")),
                         .cache_bytes = arguments.bytes("memory")};
  if (arguments.given("memory")) options.activation_bytes = options.cache_bytes;
  return options;
}

Existing existing_output(const Arguments& arguments) {
  return arguments.on("force") ? Existing::kReplace : Existing::kRefuse;
}

Flag proof_flag() {
  return {.name = "proof",
          .fallback = "auto",
          .meaning =
              "what is read back of the new bundle: full: every byte; edited: the edited tensors, the structure "
              "around them and the sizes of all files; auto: full below 2 GB",
          .choices = {"auto", "full", "edited"}};
}

std::optional<ProofMode> proof_mode(const Arguments& arguments) {
  const std::string mode = arguments.text("proof");
  if (mode == "auto") return std::nullopt;
  return mode == "full" ? ProofMode::kFull : ProofMode::kEdited;
}

std::filesystem::path audio_root(const Arguments& arguments, const std::filesystem::path& facts_file) {
  return arguments.given("audio_root") ? arguments.path("audio_root") : default_audio_root(facts_file);
}

Watch watch(Console& console, const InterruptGuard& guard) {
  const auto bar = std::make_shared<ProgressBar>(console, "");
  Watch result;
  result.observer = [bar](const Progress& progress) {
    // Of many cells each may be done in a moment: then the study's time is what matters.
    const bool by_cell = progress.cells > 1 && progress.cell > 0;
    bar->begin(by_cell ? "edits" : progress.stage);
    if (by_cell)
      bar->update(progress.cell - 1, progress.cells, progress.stage);
    else
      bar->update(progress.done, progress.total, loss_text(progress.loss));
  };
  result.stop = &guard.flag();
  return result;
}

StepObserver step_observer(Console& console) {
  const auto bar = std::make_shared<ProgressBar>(console, "");
  return [bar](const StepReport& report) {
    bar->begin(report.stage);
    bar->update(report.step, report.steps, loss_text(report.loss));
  };
}

std::string size_text(std::int64_t bytes) {
  const auto number = static_cast<double>(bytes);
  if (bytes >= std::int64_t{1} << 30) return fmt::format("{:.1f} GiB", number / 0x1p30);
  if (bytes >= std::int64_t{1} << 20) return fmt::format("{:.1f} MiB", number / 0x1p20);
  if (bytes >= std::int64_t{1} << 10) return fmt::format("{:.1f} KiB", number / 0x1p10);
  return fmt::format("{} B", bytes);
}

}  // namespace retune
