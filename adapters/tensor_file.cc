#include "adapters/tensor_file.h"

#include <fmt/format.h>

#include <optional>
#include <set>

#include "adapters/hdf5_file.h"
#include "adapters/hdf5_writer.h"
#include "tensor/error.h"
#include "weights/external_data.h"

namespace retune {

namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// As HDF5 resolves a path: slashes at either end or in a row mean nothing.
std::string plain_path(std::string_view path) {
  std::string result;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (!part.empty() && part != ".") result.append(result.empty() ? "" : "/").append(part);
    begin = end + 1;
  }
  return result;
}

}  // namespace

std::string encode_name(std::string_view name) {
  if (name == ".") return "%2E";
  std::string result;
  for (const char c : name) {
    if (c == '%')
      result += "%25";
    else if (c == '/')
      result += "%2F";
    else
      result += c;
  }
  return result;
}

std::string decode_name(std::string_view encoded) {
  std::string result;
  for (std::size_t i = 0; i < encoded.size(); ++i) {
    const bool escape = encoded[i] == '%' && i + 2 < encoded.size();
    const int high = escape ? hex_digit(encoded[i + 1]) : -1;
    const int low = escape ? hex_digit(encoded[i + 2]) : -1;
    if (high >= 0 && low >= 0) {
      result += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      result += encoded[i];
    }
  }
  return result;
}

std::map<std::string, Tensor> read_tensors(const std::filesystem::path& path, std::span<const std::string> wanted) {
  const Hdf5File file = Hdf5File::open(path);
  std::map<std::string, Tensor> result;
  std::set<std::string> taken;
  for (const std::string& name : wanted) {
    const std::string exact = plain_path(name);
    if (exact.empty() || !file.has(exact)) continue;
    result.emplace(name, file.read(exact));
    taken.insert(exact);
  }
  for (const std::string& dataset : file.datasets()) {
    if (taken.count(dataset) != 0) continue;
    const std::optional<std::string> original = file.text_attribute(dataset, "name");
    const std::string name = original ? *original : decode_name(dataset);
    if (!result.emplace(name, file.read(dataset)).second)
      throw user_error("{} holds the tensor '{}' twice, once as dataset '{}'", path.string(), printable(name),
                       printable(dataset));
  }
  return result;
}

void write_tensors(const std::filesystem::path& path, const std::map<std::string, Tensor>& tensors) {
  Hdf5Writer writer(path);
  for (const auto& [name, tensor] : tensors) {
    if (name.empty() || name.find('\0') != std::string::npos)
      throw user_error("cannot write {}: a tensor's name is empty or holds a NUL byte", path.string());
    const std::string dataset = encode_name(name);
    writer.write(dataset, tensor);
    writer.attribute(dataset, "name", name);
  }
  writer.commit();
}

}  // namespace retune
