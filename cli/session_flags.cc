#include "cli/session_flags.h"

#include <fmt/format.h>

namespace retune {

namespace {

// One bar that is named anew with each stage.
class StageBar {
 public:
  explicit StageBar(Console& console) : bar_(console, "") {}

  void update(const std::string& stage, std::int64_t done, std::int64_t total, const std::string& note) {
    if (bar_.label() != stage) bar_.relabel(stage);
    bar_.update(done, total, note);
  }

 private:
  ProgressBar bar_;
};

std::string loss_text(double loss) { return loss == 0 ? "" : fmt::format("loss {:.4g}", loss); }

}  // namespace

SessionOptions session_options(const Arguments& arguments) {
  return {.threads = static_cast<int>(arguments.integer("threads")), .cache_bytes = arguments.bytes("memory")};
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
  const auto bar = std::make_shared<StageBar>(console);
  Watch result;
  result.observer = [bar](const Progress& progress) {
    // Of many cells each may be done in a moment: then the study's time is what matters.
    if (progress.cells > 1 && progress.cell > 0)
      bar->update("edits", progress.cell - 1, progress.cells, progress.stage);
    else
      bar->update(progress.stage, progress.done, progress.total, loss_text(progress.loss));
  };
  result.stop = &guard.flag();
  return result;
}

StepObserver step_observer(Console& console) {
  const auto bar = std::make_shared<StageBar>(console);
  return
      [bar](const StepReport& report) { bar->update(report.stage, report.step, report.steps, loss_text(report.loss)); };
}

std::string size_text(std::int64_t bytes) {
  const auto number = static_cast<double>(bytes);
  if (bytes >= std::int64_t{1} << 30) return fmt::format("{:.1f} GiB", number / 0x1p30);
  if (bytes >= std::int64_t{1} << 20) return fmt::format("{:.1f} MiB", number / 0x1p20);
  if (bytes >= std::int64_t{1} << 10) return fmt::format("{:.1f} KiB", number / 0x1p10);
  return fmt::format("{} B", bytes);
}

}  // namespace retune
