// Other names for a model: what a tool that renames, merges or optimises leaves of an exporter's names.
#pragma once

#include <filesystem>

#include "tensor/rng.h"
#include "weights/onnx_proto.h"

namespace retune {

// Replaces every name of the graph and of its subgraphs but those of its own inputs and outputs by a random one.
void randomise_names(onnx::GraphProto& graph, Rng rng);

// The same for a model file with its weights inside.
void write_with_random_names(const std::filesystem::path& from, const std::filesystem::path& to, Rng rng);

}  // namespace retune
