// An HDF5 file as named tensors: what patches, statistics and tensor exchange are read from. See hdf5_writer.h for
// writing.
//
// Only files of HDF5's classic layout are read (what every program writes unless told otherwise), by our own scanner,
// which is safe on files from strangers; hdf5_layout.h says why and what is refused. Large arrays are views of the
// mapped file.
//
//   Hdf5File file = Hdf5File::open("in.h5");
//   for (const std::string& path : file.datasets()) use(path, file.read(path));
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace retune {

class Hdf5File {
 public:
  // Maps the file and checks all of it but the elements. User errors: see scan_hdf5().
  static Hdf5File open(const std::filesystem::path& path);

  // Paths of all datasets without a leading slash ("deltas/000000/u"), in byte order.
  const std::vector<std::string>& datasets() const;
  bool has(std::string_view dataset) const;

  // Elements, row-major. u16 with the text attribute dtype = "bfloat16" (or "bf16") is read as bf16, u8 with dtype =
  // "i4" and the like as codes of that type. User errors: no such dataset, text, a `dtype` attribute that contradicts
  // the stored type, chunks that are missing or do not inflate to their size.
  Tensor read(std::string_view dataset) const;
  // A scalar dataset of fixed-length text, without the NULs or spaces that fill it up.
  std::string read_text(std::string_view dataset) const;

  // Attributes of a group ("" is the root) or dataset; nothing if there is none of that name. User error if it is not
  // one fixed-length text, or not one integer that fits. In Python: attrs["dtype"] = numpy.bytes_("bfloat16").
  std::optional<std::string> text_attribute(std::string_view object, std::string_view name) const;
  std::optional<std::int64_t> integer_attribute(std::string_view object, std::string_view name) const;

 private:
  struct State;
  explicit Hdf5File(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

}  // namespace retune
