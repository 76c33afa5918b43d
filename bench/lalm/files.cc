// Works on a model's files, and on the memory that it takes.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "bench/lalm/batch.h"
#include "bench/lalm/process_memory.h"
#include "bench/lalm/random_edit.h"
#include "bench/lalm/works.h"
#include "tensor/error.h"

namespace retune::bench {

namespace {

namespace fs = std::filesystem;

void flush(const fs::path& file) {
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0 || ::fsync(descriptor) != 0) throw failure("{} could not be flushed to disk", file.string());
  ::close(descriptor);
}

struct CopyTimes {
  double copied = 0, flushed = 0;  // seconds, both since the start
};

CopyTimes copy_files(const fs::path& from, const fs::path& to) {
  fs::remove_all(to);
  const Stopwatch watch;
  fs::copy(from, to, fs::copy_options::recursive);
  CopyTimes times{watch.seconds(), 0};
  for (const fs::path& file : files_of(to)) flush(to / file);
  times.flushed = watch.seconds();
  fs::remove_all(to);
  return times;
}

struct ExportTimes {
  double written = 0, proof = 0;  // seconds
};

ExportTimes export_once(const Bundle& bundle, const fs::path& out, Session& session) {
  fs::remove_all(out);
  // Each edited file is written, then the others are copied; what follows is the proof, and at its end the renaming.
  const auto written_parts = static_cast<std::int64_t>(edited_files(bundle).edits.size()) + 1;
  const Stopwatch watch;
  double written = 0, proven = 0;
  save(bundle, out, Existing::kRefuse, session, {.mode = ProofMode::kEdited}, [&](std::int64_t done, std::int64_t) {
    proven = watch.seconds();
    if (done == written_parts) written = proven;
  });
  const ExportTimes times{written + watch.seconds() - proven, proven - written};
  fs::remove_all(out);
  return times;
}

}  // namespace

Measurement open_model(const Contender& contender) {
  Session session({.threads = contender.threads});
  return timed(session, contender.sizes.repeats, [&] { Bundle::open(contender.folder); });
}

Measurement export_model(const Contender& contender) {
  const Bundle base = Bundle::open(contender.folder);
  const Bundle bundle =
      randomly_edited(base, base.site(fmt::format("decoder.block.{}.mlp.down", contender.sizes.block)), 1);
  Session session({.threads = contender.threads});
  Measurement result;
  std::vector<double>&copied = result.beside["a plain copy"], &flushed = result.beside["a plain copy, flushed"];
  const fs::path out = contender.sizes.out;
  fs::create_directories(out.parent_path());
  double proof = 0;
  const auto copy = [&] {
    const CopyTimes times = copy_files(contender.folder, out.string() + "-copy");
    copied.push_back(times.copied);
    flushed.push_back(times.flushed);
  };
  // Whoever comes second finds more of the files in memory: they take turns. An even number of runs is fair to both.
  for (int run = 0; run < contender.sizes.repeats.runs; ++run) {
    if (run % 2 == 0) copy();
    const ExportTimes times = export_once(bundle, out, session);
    result.values.push_back(times.written);
    proof = times.proof;
    if (run % 2 != 0) copy();
  }
  result.facts["proof seconds"] = proof;
  return result;
}

Measurement forward_memory(const Contender& contender) {
  const Bundle bundle = Bundle::open(contender.folder);
  Session session({.threads = contender.threads});
  double weights = 0;
  for (const auto& [name, feed] : bundle.parameters()) weights += static_cast<double>(feed.tensor.bytes());
  const BatchWork work = forward_work(session, bundle, contender.sizes);
  const PeakOfAnonymousMemory peak;
  session.profile(contender.sizes.repeats.profile);
  const Stopwatch watch;
  session.run(work.graph, bundle.parameters(), work.request);
  Measurement result{.unit = "GiB", .values = {peak.gib()}};
  result.facts = {{"weights GiB", weights / (1 << 30)},
                  {"seconds", watch.seconds()},
                  {"planned GiB", static_cast<double>(session.peak_bytes()) / (1 << 30)}};
  if (contender.sizes.repeats.profile) result.profile = profile_of(session, 1);
  return result;
}

}  // namespace retune::bench
