#include "learning/hyper_network_file.h"

#include <vector>

#include "adapters/hdf5_file.h"
#include "adapters/hdf5_writer.h"
#include "learning/site_weight.h"
#include "tensor/error.h"

namespace retune {

namespace {

constexpr const char* kFormat = "retune-hyper-network";
constexpr std::int64_t kVersion = 1;
constexpr std::int64_t kMaxSites = 100000;

std::string site_dataset(std::int64_t index) { return fmt::format("sites/{:06}", index); }

class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : path_(path), file_(Hdf5File::open(path)) {
    if (file_.text_attribute("", "format") != kFormat)
      throw user_error("{} is not a hyper-network of retune train", path.string());
    if (integer("", "version") != kVersion)
      throw user_error("{}: hyper-network format {} is not known; this Retune reads format {}", path.string(),
                       integer("", "version"), kVersion);
  }

  std::int64_t integer(const std::string& object, const char* name) const {
    const auto value = file_.integer_attribute(object, name);
    if (!value)
      throw user_error("{}: attribute '{}' of '/{}' is missing; the file is damaged", path_.string(), name, object);
    return *value;
  }

  std::string text(const char* name) const {
    const auto value = file_.text_attribute("", name);
    if (!value) throw user_error("{}: attribute '{}' is missing; the file is damaged", path_.string(), name);
    return *value;
  }

  std::vector<HyperSite> sites() const {
    const std::int64_t count = integer("", "sites");
    if (count < 1 || count > kMaxSites) throw user_error("{}: {} sites are out of range", path_.string(), count);
    std::vector<HyperSite> sites;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::string name = site_dataset(i);
      sites.push_back({file_.read_text(name), integer(name, "in"), integer(name, "out")});
      constexpr std::int64_t kMaxWidth = std::int64_t{1} << 24;
      if (sites.back().in < 1 || sites.back().out < 1 || sites.back().in > kMaxWidth || sites.back().out > kMaxWidth)
        throw user_error("{}: the sizes of site '{}' are out of range", path_.string(), sites.back().name);
    }
    return sites;
  }

  HyperOptions options() const {
    HyperOptions options;
    for (const auto& [name, tensor] : below("options/")) {
      if (tensor.dtype() != DType::kF64 || tensor.numel() != 1)
        throw user_error("{}: option '{}' must be one f64, got {}", path_.string(), name, tensor.text());
      options[name] = tensor.data<double>()[0];
    }
    return options;
  }

  std::map<std::string, Tensor> below(const std::string& group) const {
    std::map<std::string, Tensor> tensors;
    for (const std::string& dataset : file_.datasets())
      if (dataset.starts_with(group)) tensors[dataset.substr(group.size())] = file_.read(dataset);
    return tensors;
  }

 private:
  std::filesystem::path path_;
  Hdf5File file_;
};

// What an option may be, so that no size of a damaged file is believed.
void check_options(const HyperNetworkKind& kind, const HyperOptions& options, const std::filesystem::path& path) {
  for (const HyperOption& option : kind.options) {
    const auto found = options.find(option.name);
    if (found == options.end() || !(found->second >= option.least && found->second <= option.most))
      throw user_error("{}: option '{}' is missing or not in {} to {}; the file is damaged", path.string(), option.name,
                       option.least, option.most);
  }
}

}  // namespace

void HyperNetworkFile::save(const std::filesystem::path& path, DType stored) const {
  Hdf5Writer out(path);
  out.attribute("", "format", kFormat);
  out.attribute("", "version", kVersion);
  out.attribute("", "method", kind);
  out.attribute("", "model", model.hex());
  out.attribute("", "facts", facts.hex());
  out.attribute("", "settings", settings.hex());
  out.attribute("", "edits", edits);
  out.attribute("", "sites", static_cast<std::int64_t>(state.sites.size()));
  for (std::size_t i = 0; i < state.sites.size(); ++i) {
    const std::string name = site_dataset(static_cast<std::int64_t>(i));
    out.write_text(name, state.sites[i].name);
    out.attribute(name, "in", state.sites[i].in);
    out.attribute(name, "out", state.sites[i].out);
  }
  for (const auto& [name, value] : state.options) out.write("options/" + name, Tensor::scalar(value));
  for (const auto& [name, tensor] : state.parameters) out.write("parameters/" + name, tensor.cast(stored));
  for (const auto& [name, tensor] : state.statistics) out.write("statistics/" + name, tensor);
  out.commit();
}

HyperNetworkFile HyperNetworkFile::load(const std::filesystem::path& path) {
  const Reader in(path);
  HyperNetworkFile file{in.text("method"),
                        ContentHash::from_hex(in.text("model")),
                        ContentHash::from_hex(in.text("facts")),
                        ContentHash::from_hex(in.text("settings")),
                        in.integer("", "edits"),
                        {in.options(), in.sites(), in.below("parameters/"), in.below("statistics/")}};
  const HyperNetworkKind* kind = find_hyper_network_kind(file.kind);
  if (kind == nullptr) throw user_error("{}: there is no hyper-network of method '{}'", path.string(), file.kind);
  check_options(*kind, file.state.options, path);
  for (auto& [name, tensor] : file.state.parameters) {
    if (!is_float(tensor.dtype()))
      throw user_error("{}: parameter '{}' must be of floats, got {}", path.string(), name, tensor.text());
    tensor = tensor.cast(DType::kF32);
  }
  return file;
}

void check_belongs(const HyperNetworkFile& file, const std::filesystem::path& path, const std::string& kind,
                   const Bundle& bundle) {
  if (file.kind != kind)
    throw user_error("{} is a hyper-network of method '{}', not '{}'; train one of '{}' with retune train",
                     path.string(), file.kind, kind, kind);
  if (file.model != without_patches(bundle).hash())
    throw user_error("{}: a hyper-network trained for another model than {}; train one for it with retune train",
                     path.string(), bundle.folder().string());
}

}  // namespace retune
