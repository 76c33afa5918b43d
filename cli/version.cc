#include "cli/version.h"

#define PCRE2_CODE_UNIT_WIDTH 8

#include <cblas.h>
#include <dnnl.h>
#include <fmt/core.h>
#include <google/protobuf/stubs/common.h>
#include <lapacke.h>
#include <openssl/crypto.h>
#include <pcre2.h>
#include <sndfile.h>
#include <soxr.h>
#include <spdlog/version.h>
#include <unicode/uversion.h>
#include <zlib.h>

#include <array>

#include "adapters/patch.h"

namespace retune {

namespace {

std::string dnnl_text() {
  const dnnl_version_t& version = *dnnl_version();
  return fmt::format("{}.{}.{}", version.major, version.minor, version.patch);
}

std::string lapack_text() {
  lapack_int major = 0, minor = 0, patch = 0;
  LAPACKE_ilaver(&major, &minor, &patch);
  return fmt::format("{}.{}.{}", major, minor, patch);
}

std::string pcre_text() {
  std::array<char, 64> text{};  // more than PCRE2_CONFIG_VERSION asks for
  pcre2_config(PCRE2_CONFIG_VERSION, text.data());
  return text.data();
}

std::string icu_text() {
  UVersionInfo version;
  std::array<char, U_MAX_VERSION_STRING_LENGTH> text{};
  u_getVersion(version);
  u_versionToString(version, text.data());
  return text.data();
}

// "name-1.2" without its name.
std::string after(const std::string& prefix, const std::string& text) {
  return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
}

}  // namespace

nlohmann::ordered_json version_json() {
  return {
      {"retune", retune_version()},
      {"compiler", RETUNE_COMPILER},
      {"options", RETUNE_BUILD_TYPE ", -march=" RETUNE_MARCH},
      {"flags", RETUNE_FLAGS},
      {"sanitizers", RETUNE_SANITIZERS},
      {"libraries",
       {{"oneDNN", dnnl_text()},
        {"OpenBLAS", fmt::format("{}; kernel {}", after("OpenBLAS ", openblas_get_config()), openblas_get_corename())},
        {"LAPACK", lapack_text()},
        {"LAPACKE", RETUNE_LAPACKE_VERSION},
        {"protobuf", google::protobuf::internal::VersionString(GOOGLE_PROTOBUF_VERSION)},
        {"ONNX schema", RETUNE_ONNX_VERSION},
        {"libsndfile", after("libsndfile-", sf_version_string())},
        {"libsoxr", after("libsoxr-", soxr_version())},
        {"PCRE2", pcre_text()},
        {"ICU", icu_text()},
        {"OpenSSL", OpenSSL_version(OPENSSL_VERSION_STRING)},
        {"zlib", zlibVersion()},
        {"nlohmann-json", fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR,
                                      NLOHMANN_JSON_VERSION_PATCH)},
        {"fmt", fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100)},
        {"spdlog", fmt::format("{}.{}.{}", SPDLOG_VER_MAJOR, SPDLOG_VER_MINOR, SPDLOG_VER_PATCH)}}}};
}

std::string version_text() {
  std::string text;
  const auto add = [&text](const std::string& name, const std::string& value) {
    text += fmt::format("{:<17}{}\n", name, value);
  };
  const nlohmann::ordered_json document = version_json();
  for (const auto& [name, value] : document.items()) {
    if (value.is_string()) {
      add(name, value.get<std::string>());
      continue;
    }
    text += name + "\n";
    for (const auto& [library, version] : value.items()) add("  " + library, version.get<std::string>());
  }
  return text;
}

}  // namespace retune
