// What an edit will ask for, found without writing anything or computing what it would.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "graph/session.h"
#include "recipes/edit_run.h"

namespace retune {

// What run_edit (recipes/study.h) would do, found without writing anything or computing what it would: clips are
// decoded, and the work is rehearsed for its memory. The same user errors.
struct EditPlan {
  std::int64_t cells = 0;
  std::int64_t edits = 0;
  std::int64_t probes = 0;         // asked of the base and of the edited model; sequential mode asks some again
  std::int64_t questions = 0;      // put to a model in all
  std::vector<std::string> sites;  // whose weights move
  std::int64_t model_bytes = 0;    // mapped; not all of it need be in memory at a time
  std::int64_t session_bytes = 0;  // predicted peak of computed and kept values (forecast.h)
  std::int64_t memory_bytes = 0;   // model, session, f32 copies and optimiser of the sites
  std::int64_t disk_bytes = 0;     // at most: patches, answers, bundle
  std::optional<std::int64_t> exported_cell;
};
EditPlan plan_edit(const EditRun& run, const SessionOptions& options);

}  // namespace retune
