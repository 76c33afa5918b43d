// Measures a model, with or without the one that it was edited from.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "eval/ask.h"
#include "eval/score.h"
#include "facts/fact_set.h"
#include "facts/probe.h"
#include "graph/session.h"
#include "recipes/progress.h"
#include "tensor/staged_output.h"

namespace retune {

struct EvalRun {
  std::filesystem::path model;
  std::optional<std::filesystem::path> context = {};  // what it is told before every question (lalm/context_folder.h)
  std::optional<std::filesystem::path> base = {};     // the unedited model; without it only correctness is measured
  std::optional<FactSet> facts = {};                  // either facts
  std::vector<Probe> probes = {};                     // or plain probes
  AskSettings decoding = {};
  MetricOptions metrics = {};
  // Gets results.jsonl and summary.json, whole or not at all; empty: nothing is written.
  std::filesystem::path out = {};
  Existing existing = Existing::kRefuse;
  Watch watch = {};
};

struct EvalReport {
  MetricReport metrics;
  std::vector<AnswerRecord> answers;
};

// User errors: neither facts nor probes or both, clips that are missing or cannot be heard, models that are not there.
EvalReport run_eval(const EvalRun& run, Session& session);

// What it would do.
struct EvalPlan {
  std::int64_t probes = 0;
  std::int64_t questions = 0;      // put to a model in all
  std::int64_t model_bytes = 0;    // mapped, of both models
  std::int64_t session_bytes = 0;  // predicted peak of computed and kept values (forecast.h)
  std::int64_t memory_bytes = 0;   // models and session
  std::int64_t disk_bytes = 0;
};
EvalPlan plan_eval(const EvalRun& run, const SessionOptions& options);

}  // namespace retune
