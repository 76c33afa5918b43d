// One contender of the benchmark: Retune. Prints one JSON line (bench/lalm/measurement.h).
//
//   retune_peer BUNDLE WORK THREADS [NAME=VALUE ...]      the works: works.h; the names: prompts.h
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include "bench/lalm/works.h"
#include "tensor/error.h"

namespace {

using namespace retune;
using namespace retune::bench;

const std::map<std::string, Work> kWorks = {{"forward", forward},
                                            {"forward_backward", forward_backward},
                                            {"train_step", train_step},
                                            {"products", products},
                                            {"fine_tuning", fine_tuning},
                                            {"target_vector", target_vector},
                                            {"rome_edit", rome_edit},
                                            {"edit_memory", edit_memory},
                                            {"score_after_edit", score_after_edit},
                                            {"options_on_clip", options_on_clip},
                                            {"decode", decode},
                                            {"open_model", open_model},
                                            {"export_model", export_model},
                                            {"forward_memory", forward_memory}};

int usage() {
  std::fprintf(stderr, "usage: retune_peer BUNDLE WORK THREADS [NAME=VALUE ...]; the works:");
  for (const auto& [name, work] : kWorks) std::fprintf(stderr, " %s", name.c_str());
  std::fprintf(stderr, "\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  const auto work = argc < 4 ? kWorks.end() : kWorks.find(argv[2]);
  if (work == kWorks.end()) return usage();
  try {
    const Contender contender{argv[1], std::atoi(argv[3]), sizes_of({argv + 4, argv + argc})};
    std::printf("%s\n", to_json(work->second(contender), contender.threads).c_str());
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "retune_peer: %s\n", error.what());
    const auto* known = dynamic_cast<const retune::Error*>(&error);
    return known ? static_cast<int>(known->code()) : 1;
  }
}
