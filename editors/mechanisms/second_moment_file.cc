#include "editors/mechanisms/second_moment_file.h"

#include <fmt/format.h>

#include "adapters/hdf5_file.h"
#include "adapters/hdf5_writer.h"
#include "tensor/error.h"

namespace retune {

namespace {

constexpr const char* kFormat = "retune-second-moment";
constexpr std::int64_t kVersion = 1;
constexpr std::int64_t kMaxWidth = 1 << 20;
enum class Content : std::int64_t { kFinished = 0, kCheckpoint = 1 };

void write_head(Hdf5Writer& out, const MomentIdentity& identity, std::int64_t width, Content content) {
  out.attribute("", "format", kFormat);
  out.attribute("", "version", kVersion);
  out.attribute("", "checkpoint", static_cast<std::int64_t>(content));
  out.attribute("", "site", identity.site);
  out.attribute("", "width", width);
  out.attribute("", "model", identity.model.hex());
  out.attribute("", "corpus", identity.corpus.hex());
  out.attribute("", "settings", identity.settings.hex());
}

void write_sums(Hdf5Writer& out, const std::string& group, const ClassSums& sums) {
  for (std::size_t c = 0; c < kTokenClasses; ++c) {
    if (sums[c].tokens == 0) continue;
    const std::string name = group + std::string(token_class_name(static_cast<TokenClass>(c)));
    out.write(name, Tensor::vector<double>(sums[c].sum));
    out.attribute(name, "tokens", sums[c].tokens);
  }
}

class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : path_(path), file_(Hdf5File::open(path)) {
    if (file_.text_attribute("", "format") != kFormat)
      throw user_error("{} is not a second moment of retune stats", path.string());
    if (integer("", "version") != kVersion)
      throw user_error("{}: second-moment format {} is not known; this Retune reads format {}", path.string(),
                       integer("", "version"), kVersion);
    width_ = integer("", "width");
    if (width_ < 1 || width_ > kMaxWidth) throw user_error("{}: width {} is out of range", path.string(), width_);
  }

  std::int64_t width() const { return width_; }
  const Hdf5File& file() const { return file_; }

  std::int64_t integer(const std::string& object, const char* name) const {
    const auto value = file_.integer_attribute(object, name);
    if (!value)
      throw user_error("{}: attribute '{}' of '/{}' is missing; the file is damaged", path_.string(), name, object);
    return *value;
  }

  MomentIdentity identity() const {
    return {text("site"), ContentHash::from_hex(text("model")), ContentHash::from_hex(text("corpus")),
            ContentHash::from_hex(text("settings"))};
  }

  ClassSums sums(const std::string& group) const {
    ClassSums sums;
    for (std::size_t c = 0; c < kTokenClasses; ++c) {
      const std::string name = group + std::string(token_class_name(static_cast<TokenClass>(c)));
      if (!file_.has(name)) continue;
      const Tensor tensor = file_.read(name);
      sums[c].tokens = integer(name, "tokens");
      if (tensor.dtype() != DType::kF64 || tensor.numel() != width_ * (width_ + 1) / 2 || sums[c].tokens < 1)
        throw user_error("{}: '{}' does not hold the triangle of a matrix of width {}; the file is damaged",
                         path_.string(), name, width_);
      sums[c].sum.assign(tensor.data<double>(), tensor.data<double>() + tensor.numel());
    }
    return sums;
  }

 private:
  std::string text(const char* name) const {
    const auto value = file_.text_attribute("", name);
    if (!value) throw user_error("{}: attribute '{}' is missing; the file is damaged", path_.string(), name);
    return *value;
  }

  std::filesystem::path path_;
  Hdf5File file_;
  std::int64_t width_ = 0;
};

std::string subtree_group(std::size_t index) { return fmt::format("subtrees/{:06}", index); }

}  // namespace

void SecondMoment::save(const std::filesystem::path& path) const {
  if (tokens() == 0) throw user_error("a second moment of no tokens is not worth a file ({})", path.string());
  Hdf5Writer out(path);
  write_head(out, identity, width, Content::kFinished);
  write_sums(out, "sums/", classes);
  out.commit();
}

SecondMoment SecondMoment::load(const std::filesystem::path& path) {
  const Reader in(path);
  if (in.integer("", "checkpoint") != static_cast<std::int64_t>(Content::kFinished))
    throw user_error("{} is the checkpoint of an unfinished run; run retune stats again to finish it", path.string());
  SecondMoment moment{in.identity(), in.width(), in.sums("sums/")};
  if (moment.tokens() == 0) throw user_error("{} holds no tokens; the file is damaged", path.string());
  return moment;
}

void save_checkpoint(const MomentCheckpoint& checkpoint, const std::filesystem::path& path) {
  Hdf5Writer out(path);
  write_head(out, checkpoint.identity, checkpoint.width, Content::kCheckpoint);
  out.attribute("", "items", checkpoint.items);
  out.attribute("", "subtrees", static_cast<std::int64_t>(checkpoint.state.subtrees.size()));
  for (std::size_t i = 0; i < checkpoint.state.subtrees.size(); ++i) {
    const auto& tree = checkpoint.state.subtrees[i];
    write_sums(out, subtree_group(i) + "/", tree.sums);
    out.attribute(subtree_group(i), "level", tree.level);
  }
  const auto rows = static_cast<std::int64_t>(checkpoint.state.classes.size());
  if (rows > 0) {
    std::vector<std::uint8_t> classes;
    for (const TokenClass item : checkpoint.state.classes) classes.push_back(static_cast<std::uint8_t>(item));
    out.write("pending/keys", Tensor::of<float>({rows, checkpoint.width}, checkpoint.state.keys));
    out.write("pending/classes", Tensor::vector<std::uint8_t>(classes));
  }
  out.commit();
}

MomentCheckpoint load_checkpoint(const std::filesystem::path& path) {
  const Reader in(path);
  if (in.integer("", "checkpoint") != static_cast<std::int64_t>(Content::kCheckpoint))
    throw user_error("{} is a finished second moment, not a checkpoint", path.string());
  MomentCheckpoint checkpoint{in.identity(), in.width(), in.integer("", "items"), {}};
  const std::int64_t subtrees = in.integer("", "subtrees");
  if (checkpoint.items < 0 || subtrees < 0 || subtrees > 63) throw user_error("{} is damaged", path.string());
  for (std::int64_t i = 0; i < subtrees; ++i) {
    const std::string group = subtree_group(static_cast<std::size_t>(i));
    checkpoint.state.subtrees.push_back({in.integer(group, "level"), in.sums(group + "/")});
  }
  if (!in.file().has("pending/keys")) return checkpoint;
  const Tensor keys = in.file().read("pending/keys"), classes = in.file().read("pending/classes");
  if (keys.dtype() != DType::kF32 || classes.dtype() != DType::kU8 ||
      keys.numel() != classes.numel() * checkpoint.width || classes.numel() >= kBlockTokens)
    throw user_error("{}: the pending keys do not fit; the file is damaged", path.string());
  checkpoint.state.keys.assign(keys.data<float>(), keys.data<float>() + keys.numel());
  for (std::int64_t i = 0; i < classes.numel(); ++i) {
    const std::uint8_t item = classes.data<std::uint8_t>()[i];
    if (item >= kTokenClasses)
      throw user_error("{}: token class {} does not exist; the file is damaged", path.string(), item);
    checkpoint.state.classes.push_back(static_cast<TokenClass>(item));
  }
  return checkpoint;
}

}  // namespace retune
