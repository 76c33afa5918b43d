// Writes HDF5 files with the same bytes for the same content: the classic layout (superblock 0), no times, objects in
// order of their names, arrays contiguous, little-endian and aligned. Every HDF5 program reads them; Hdf5File maps
// them.
//
// It does not go through the HDF5 library: that one crashes when the program ends if a full disk kept it from closing a
// file (1.10.8, H5F_term_package), its bytes change with its version, and it has one global state for the whole
// process.
//
//   Hdf5Writer out("out.h5");
//   out.attribute("", "format", "retune-patch");
//   out.write("deltas/000000/u", u);    // groups are made on the way
//   out.commit();                       // until here nothing lies at out.h5
//
// Reference: "HDF5 File Format Specification Version 3.0", sections II, III.A-D, IV.A.1-2.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "tensor/tensor.h"

namespace retune {

class Hdf5Writer {
 public:
  // User error if the folder does not exist.
  explicit Hdf5Writer(const std::filesystem::path& path);
  // Without commit(), nothing stays behind.
  ~Hdf5Writer();
  Hdf5Writer(const Hdf5Writer&) = delete;
  Hdf5Writer& operator=(const Hdf5Writer&) = delete;

  // A dataset at a path of names joined by '/'; each at most once. The tensor is shared until commit() writes it. bool
  // as h5py's enumeration, bf16 as u16 with the attribute dtype = "bfloat16", narrower elements as u8 codes with dtype
  // = "i4" and the like. User error beyond rank 32.
  void write(std::string_view dataset, const Tensor& tensor);
  // A scalar dataset of fixed-length UTF-8. User error if the text holds a NUL, which ends text in HDF5.
  void write_text(std::string_view dataset, std::string_view text);
  // Attributes of a dataset or group already there ("" is the root). User error for a text with a NUL or of more than
  // 60,000 bytes (the earliest format keeps attributes in the object's header).
  void attribute(std::string_view object, std::string_view name, std::string_view text);
  void attribute(std::string_view object, std::string_view name, std::int64_t value);

  // Flushes to disk and gives the file its name, replacing what was there. Once. Failures name the path.
  void commit();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace retune
