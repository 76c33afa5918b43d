#include "recipes/export.h"
#include "editors/settings.h"

#include <algorithm>
#include <map>
#include <memory>

#include "facts/json_text.h"
#include "lalm/context_folder.h"
#include "lalm/proof_json.h"
#include "recipes/study_folder.h"
#include "tensor/error.h"

namespace retune {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kProofQuestions = 4;
constexpr std::size_t kProofAnswers = 32;

// By probe, what the finished model answered.
std::map<std::string, const AnswerRecord*> last_answers(const std::vector<AnswerRecord>& measured) {
  int applied = 0;
  for (const AnswerRecord& record : measured)
    if (record.step) applied = std::max(applied, record.step->edits_applied);
  std::map<std::string, const AnswerRecord*> answers;
  for (const AnswerRecord& record : measured)
    if (!record.step || record.step->edits_applied == applied) answers[record.probe_id] = &record;
  return answers;
}

std::vector<std::string> proof_questions(const std::vector<Probe>& probes) {
  std::vector<std::string> questions;
  for (const Probe& probe : probes)
    if (questions.size() < kProofQuestions &&
        std::find(questions.begin(), questions.end(), probe.question) == questions.end())
      questions.push_back(probe.question);
  return questions;
}

// What was exported, as another program would find it.
Bundle reopened(const ExportedModel& exported) {
  const Bundle bundle = Bundle::open(exported.folder);
  return exported.context.empty() ? bundle : with_context(bundle, load_context(exported.context));
}

std::int64_t prove_answers(const ExportRequest& request, const ExportedModel& exported, int threads,
                           const Watch& watch) {
  const auto measured = last_answers(request.measured);
  std::vector<Probe> probes;
  for (const Probe& probe : request.probes)
    if (probes.size() < kProofAnswers && measured.contains(probe.id)) probes.push_back(probe);
  Session afresh({.threads = threads});
  const auto total = static_cast<std::int64_t>(probes.size());
  const std::vector<Asked> answers = ask(afresh, reopened(exported), probes, request.decoding, [&](std::size_t done) {
    watch.report({"export", static_cast<std::int64_t>(done), total});
  });
  for (std::size_t i = 0; i < probes.size(); ++i) {
    const ProbeAnswer& before = *measured.at(probes[i].id)->after;
    const ProbeAnswer& now = answers[i].answer;
    if (now.ids != before.ids || now.option_scores != before.option_scores)
      throw proof_error(
          "the exported bundle answers probe '{}' with '{}', the measured model with '{}'; it was removed",
          probes[i].id, now.text, before.text);
  }
  return total;
}

Json proof_document(const ExportedModel& exported) {
  Json document = {{"schema", 1}};
  document.update(proof_json(exported.proof));
  document["answers_proven"] = exported.answers_proven;
  if (!exported.context.empty()) document["context"] = kContextFolder;
  return document;
}

}  // namespace

ExportedModel export_model(const ExportRequest& request, Session& session, const Watch& watch) {
  Bundle edited = request.base;
  for (const std::filesystem::path& path : request.patches)
    edited = edited.with(std::make_shared<const Patch>(Patch::load(path)));
  ExportedModel exported;
  exported.folder = request.out / kBundleFolder;
  exported.proof = save(edited, exported.folder, Existing::kReplace, session,
                        {.questions = proof_questions(request.probes), .mode = request.proof},
                        [&watch](std::int64_t done, std::int64_t total) {
                          watch.report({"write", done, total});
                        });
  if (edited.context()) {
    exported.context = request.out / kContextFolder;
    save_context(edited, exported.context, Existing::kReplace);
  }
  try {
    exported.answers_proven = prove_answers(request, exported, session.pool().threads(), watch);
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove_all(exported.folder, ignored);  // not proven
    if (!exported.context.empty()) std::filesystem::remove_all(exported.context, ignored);
    throw;
  }
  write_text(request.out / kProofFile, json_bytes(proof_document(exported), 2) + "\n");
  return exported;
}

}  // namespace retune
