#include "adapters/patch.h"

#include <memory>

#include "adapters/patch_arithmetic.h"
#include "adapters/view_difference.h"
#include "cli/arguments.h"
#include "cli/commands/commands.h"
#include "cli/console.h"
#include "cli/interrupt.h"
#include "cli/proof_text.h"
#include "cli/session_flags.h"
#include "cli/work_bar.h"
#include "lalm/bundle.h"
#include "lalm/proof_json.h"
#include "tensor/error.h"

namespace retune {

namespace {

using Json = nlohmann::ordered_json;

std::shared_ptr<const Patch> load(const std::string& path) { return std::make_shared<const Patch>(Patch::load(path)); }

std::vector<std::shared_ptr<const Patch>> load_all(const std::vector<std::string>& paths) {
  std::vector<std::shared_ptr<const Patch>> patches;
  for (const std::string& path : paths) patches.push_back(load(path));
  return patches;
}

// The bundle with the patches of the command line on it. Reading them proves them against their hashes.
Bundle patched(Bundle bundle, const Arguments& arguments, Console& console) {
  WorkBar bar(console, "read patches");
  const WorkObserver told = bar.parts("read patches");
  const std::vector<std::string> paths = arguments.texts("PATCH");
  for (std::size_t i = 0; i < paths.size(); ++i) {
    bundle = bundle.with(load(paths[i]));
    told(static_cast<std::int64_t>(i) + 1, static_cast<std::int64_t>(paths.size()));
  }
  return bundle;
}

int show(const Arguments& arguments, Console& console) {
  const Patch patch = Patch::load(arguments.path("PATCH"));
  const Detail detail = arguments.on("full") ? Detail::kFull : Detail::kSummary;
  if (arguments.on("json"))
    console.print(Json::parse(describe_json(patch, detail)));
  else
    console.out() << describe(patch, detail);
  return 0;
}

int write_bundle(const Bundle& bundle, const Arguments& arguments, Console& console) {
  Session session(session_options(arguments));
  const BundleProof proof = [&] {
    const InterruptGuard guard;
    WorkBar bar(console, "write and prove");
    bar.follow(session);
    return save(bundle, arguments.path("out"), existing_output(arguments), session,
                {.questions = {kProofQuestion}, .mode = proof_mode(arguments)},
                [&guard, show = bar.parts("write and prove")](std::int64_t done, std::int64_t total) {
                  guard.check();
                  show(done, total);
                });
  }();
  if (arguments.on("json")) {
    Json document = proof_json(proof);
    document["bundle"] = arguments.text("out");
    console.print(document);
  } else {
    console.out() << arguments.text("out") << "\n" << proof_text(proof);
  }
  return 0;
}

int apply(const Arguments& arguments, Console& console) {
  const Bundle base = Bundle::open(arguments.path("BUNDLE"));
  const Bundle edited = patched(base, arguments, console);
  if (edited.context())
    throw user_error(
        "patch apply: these patches change what stands before a question, which no bundle holds; ask with retune ask "
        "{} "
        "--patch {}",
        arguments.text("BUNDLE"), fmt::join(arguments.texts("PATCH"), ","));
  return write_bundle(edited, arguments, console);
}

// That `edited` is `bundle` as it would be exported: with nodes added, files are compared, not weights.
void require_same_files(const Bundle& edited, const Bundle& bundle, const Arguments& arguments) {
  Session session(session_options(arguments));
  try {
    prove_bundle(bundle, edited.folder(), session, {.questions = {}, .mode = ProofMode::kFull});
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kProof) throw;
    throw user_error("{} is not {} with these patches: {}", arguments.text("BUNDLE"), arguments.text("base"),
                     error.what());
  }
}

// The base is needed: what rounding to the stored type lost cannot be subtracted again.
int revert(const Arguments& arguments, Console& console) {
  const Bundle edited = Bundle::open(arguments.path("BUNDLE"));
  const Bundle bundle = patched(Bundle::open(arguments.path("base")), arguments, console);
  const bool adds_nodes = !bundle.additions().empty();
  if (adds_nodes) require_same_files(edited, bundle, arguments);
  const std::vector<std::string> others = adds_nodes ? std::vector<std::string>{} : [&] {
    WorkBar bar(console, "compare");
    return differing_parameters(edited.view(), bundle.view(), bar.parts("compare"));
  }();
  if (!others.empty())
    throw user_error(
        "{} is not {} with these patches: '{}' and {} other tensors differ; name every patch, bottom first",
        arguments.text("BUNDLE"), arguments.text("base"), others.front(), others.size() - 1);
  return write_bundle(bundle.without_top(), arguments, console);
}

int write_patch(const Patch& patch, const Arguments& arguments, Console& console) {
  patch.save(arguments.path("out"));
  if (arguments.on("json"))
    console.print(Json::parse(describe_json(patch, Detail::kSummary)));
  else
    console.out() << arguments.text("out") << "\n" << describe(patch, Detail::kSummary);
  return 0;
}

int diff_bundles(const Arguments& arguments, Console& console) {
  const Bundle from = Bundle::open(arguments.path("FROM"));
  const Bundle to = Bundle::open(arguments.path("TO"));
  const Patch patch = [&] {
    WorkBar bar(console, "compare");
    return diff(from.view(), to.view(), bar.parts("compare"));
  }();
  return write_patch(patch, arguments, console);
}

int merge_patches(const Arguments& arguments, Console& console) {
  const auto patches = load_all(arguments.texts("PATCH"));
  const std::vector<double> weights = arguments.numbers("weights");
  if (!weights.empty() && weights.size() != patches.size())
    throw user_error("patch merge: {} weights for {} patches; give one each", weights.size(), patches.size());
  std::vector<WeightedPatch> parts;
  for (std::size_t i = 0; i < patches.size(); ++i) parts.push_back({patches[i], weights.empty() ? 1.0 : weights[i]});
  MergeOptions options;
  if (arguments.text("method") == "task_arithmetic") options.method = MergeOptions::Method::kTaskArithmetic;
  if (arguments.given("normalise")) options.normalise = arguments.on("normalise");
  options.lambda = arguments.number("lambda");
  const Patch patch = [&] {
    WorkBar bar(console, "merge");
    return merge(parts, options, bar.parts("merge"));
  }();
  return write_patch(patch, arguments, console);
}

Flag bundle_flag() {
  return {.name = "out", .type = Flag::Type::kOutputFolder, .meaning = "folder of the new bundle", .required = true};
}

Flag patch_flag() {
  return {.name = "out", .type = Flag::Type::kOutputFile, .meaning = "the patch to write", .required = true};
}

Flag force_flag(const std::string& what) {
  return {.name = "force", .type = Flag::Type::kSwitch, .meaning = "replace the " + what + " if it is there"};
}

const Positional kPatches{.name = "PATCH", .meaning = "patch files, bottom first", .count = Positional::Count::kMany};

}  // namespace

Command patch_show_command() {
  return {.name = "patch show",
          .summary = "Tells what a patch is: method, what it is for, and each change with its rank, norm and targets.",
          .positionals = {{.name = "PATCH", .meaning = "a patch.h5"}},
          .flags = {{.name = "full", .type = Flag::Type::kSwitch, .meaning = "with its recipe and facts"}},
          .example = "retune patch show out/demo/rome/patch.h5",
          .run = show};
}

Command patch_apply_command() {
  return {.name = "patch apply",
          .summary =
              "Writes a bundle with patches on it, and proves that it is the base with exactly these changes. Refused "
              "where a patch was made for another model or another stack.",
          .positionals = {{.name = "BUNDLE", .meaning = "the bundle that the lowest patch was made for"}, kPatches},
          .flags = {bundle_flag(), proof_flag(), force_flag("bundle")},
          .example = "retune patch apply demo/bundle out/demo/rome/patch.h5 --out edited",
          .run = apply};
}

Command patch_revert_command() {
  return {
      .name = "patch revert",
      .summary =
          "Writes a bundle without the topmost of its patches, bit for bit as it was before. Refused where BUNDLE is "
          "not the base with these patches.",
      .positionals = {{.name = "BUNDLE", .meaning = "the edited bundle"}, kPatches},
      .flags =
          {{.name = "base", .type = Flag::Type::kPath, .meaning = "the bundle without any patch", .required = true},
           bundle_flag(),
           proof_flag(),
           force_flag("bundle")},
      .example = "retune patch revert edited out/demo/rome/patch.h5 --base demo/bundle --out reverted",
      .run = revert};
}

Command patch_diff_command() {
  return {
      .name = "patch diff",
      .summary = "Makes the patch that turns one bundle into another of the same graph.",
      .positionals = {{.name = "FROM", .meaning = "a bundle"}, {.name = "TO", .meaning = "the bundle to arrive at"}},
      .flags = {patch_flag(), force_flag("file")},
      .example = "retune patch diff demo/bundle edited --out change.h5",
      .run = diff_bundles};
}

Command patch_merge_command() {
  return {.name = "patch merge",
          .summary = "Makes one patch of several that were made on the same model and stack.",
          .positionals = {kPatches},
          .flags = {patch_flag(),
                    force_flag("file"),
                    {.name = "weights", .type = Flag::Type::kNumbers, .meaning = "one a patch; not given: all 1"},
                    {.name = "method",
                     .fallback = "linear",
                     .meaning = "linear: the weighted mean; task_arithmetic: lambda times the weighted sum",
                     .choices = {"linear", "task_arithmetic"}},
                    {.name = "normalise",
                     .type = Flag::Type::kSwitch,
                     .meaning = "divide by the sum of the weights; not given: for linear only"},
                    {.name = "lambda", .type = Flag::Type::kNumber, .fallback = "1", .meaning = "of task arithmetic"}},
          .example = "retune patch merge dog.h5 cat.h5 --method task_arithmetic --lambda 0.5 --out both.h5",
          .run = merge_patches};
}

}  // namespace retune
