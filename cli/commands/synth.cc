#include "training/synth.h"

#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/commands/commands.h"
#include "cli/console.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/session_flags.h"

namespace retune {

namespace {

SynthOptions options_from(const Arguments& arguments) {
  SynthOptions options;
  if (arguments.given("seed")) options.seed = static_cast<std::uint64_t>(arguments.integer("seed"));
  options.train_clips = arguments.integer("train_clips");
  options.val_clips = arguments.integer("val_clips");
  options.test_clips = arguments.integer("test_clips");
  options.train_edits = arguments.integer("train_edits");
  options.val_edits = arguments.integer("val_edits");
  options.test_edits = arguments.integer("test_edits");
  options.sequences = arguments.integer("sequences");
  options.demo_edits = arguments.integer("demo_edits");
  options.clip_seconds = arguments.number("clip_seconds");
  options.rate_hz = static_cast<int>(arguments.integer("rate"));
  options.audio_format = arguments.text("audio_format");
  options.attributes = arguments.texts("attributes");
  options.threads = static_cast<int>(arguments.integer("threads"));
  options.existing = existing_output(arguments);
  return options;
}

int synth(const Arguments& arguments, Console& console) {
  const SynthOptions options = options_from(arguments);
  SynthReport report;
  {
    const InterruptGuard guard;
    ProgressBar bar(console, "clips");
    report = synthesise(options, arguments.path("out"), [&](const SynthProgress& progress) {
      guard.check();
      bar.begin(std::string(progress.step));
      bar.update(progress.done, progress.total);
    });
  }
  if (arguments.on("json"))
    console.print({{"out", arguments.text("out")},
                   {"clips", report.clips},
                   {"corpus_items", report.corpus_items},
                   {"test_edits", report.test_edits},
                   {"test_probes", report.test_probes}});
  else
    console.out() << fmt::format("{}: {} clips, {} lessons to train on, {} edits and {} probes to test with\n",
                                 arguments.text("out"), report.clips, report.corpus_items, report.test_edits,
                                 report.test_probes);
  return 0;
}

Flag count_flag(const std::string& name, std::int64_t fallback, const std::string& meaning, double least, double most) {
  return {.name = name,
          .type = Flag::Type::kInteger,
          .fallback = std::to_string(fallback),
          .meaning = meaning,
          .least = least,
          .most = most};
}

std::vector<Flag> synth_flags() {
  const SynthOptions defaults;
  std::string attributes;
  for (const std::string& attribute : defaults.attributes) attributes += (attributes.empty() ? "" : ",") + attribute;
  return {
      {.name = "out", .type = Flag::Type::kOutputFolder, .meaning = "folder to write", .required = true},
      {.name = "force", .type = Flag::Type::kSwitch, .meaning = "replace earlier data in the folder"},
      count_flag("train_clips", defaults.train_clips, "clips to train on", 100, 1e6),
      count_flag("val_clips", defaults.val_clips, "clips to choose settings by", 100, 1e6),
      count_flag("test_clips", defaults.test_clips, "clips to test with", 100, 1e6),
      count_flag("train_edits", defaults.train_edits, "edits of each attribute for training", 0, 1e5),
      count_flag("val_edits", defaults.val_edits, "edits of each attribute for validation", 0, 1e5),
      count_flag("test_edits", defaults.test_edits, "edits of each attribute for tests", 0, 1e5),
      count_flag("sequences", defaults.sequences, "sequences of ten test edits each", 0, 1000),
      count_flag("demo_edits", defaults.demo_edits, "edits of the small set in demo/", 0, 1000),
      {.name = "clip_seconds",
       .type = Flag::Type::kNumber,
       .fallback = fmt::format("{}", defaults.clip_seconds),
       .meaning = "length of every clip in seconds",
       .least = 1,
       .most = 30},
      count_flag("rate", defaults.rate_hz, "sample rate in Hz", 8000, 48000),
      {.name = "audio_format",
       .fallback = defaults.audio_format,
       .meaning = "of the clips",
       .choices = {"flac", "wav"}},
      {.name = "attributes",
       .type = Flag::Type::kTexts,
       .fallback = attributes,
       .meaning = "what is asked about",
       .choices = defaults.attributes},
  };
}

}  // namespace

Command synth_command() {
  return {.name = "synth",
          .summary =
              "Makes facts, probes and lessons with their sound: speech by the espeak-ng program, animals by synthesis "
              "(docs/formats/synthetic-data.md). The same seed gives the same bytes.",
          .flags = synth_flags(),
          .example =
              "retune synth --out data --train_clips 8000 --seed 7\n\n"
              "data: 10080 clips, 61234 lessons to train on, 120 edits and 3120 probes to test with",
          .run = synth};
}

}  // namespace retune
