// Named tensors in an HDF5 file: how `retune run` and `retune grad` take inputs and give outputs, and how any program
// hands tensors over. One dataset a tensor; docs/formats/tensors.md is the page.
//
// ONNX names may hold what HDF5 names may not. A dataset's name is the tensor's with '%', '/' and a lone '.'
// percent-encoded, and its attribute `name` holds the original. In Python:
//
//   with h5py.File("in.h5", "w") as f: f["input_ids"] = numpy.array([[1, 2, 3]])
//   with h5py.File("out.h5") as f: logits = f["logits"][:]
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "tensor/tensor.h"

namespace retune {

// "/model/x.%" <-> "%2Fmodel%2Fx.%25"; "." <-> "%2E". Decoding leaves a '%' that no two hexadecimal digits follow.
std::string encode_name(std::string_view name);
std::string decode_name(std::string_view encoded);

// All tensors of the file by name. A name in `wanted` is looked for as a path in the file first ("a/b" may be dataset b
// of group a), then as a `name` attribute, then percent-encoded; every other dataset goes by its attribute `name` or
// its decoded path. User errors: see Hdf5File, and two datasets for one name.
std::map<std::string, Tensor> read_tensors(const std::filesystem::path& path, std::span<const std::string> wanted = {});

// Whole or not at all; same tensors, same bytes. User error for an empty name or one that holds a NUL.
void write_tensors(const std::filesystem::path& path, const std::map<std::string, Tensor>& tensors);

}  // namespace retune
