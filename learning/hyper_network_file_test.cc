#include "learning/hyper_network_file.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>

#include "adapters/hdf5_writer.h"
#include "learning/golden_network.h"
#include "tensor/error.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class HyperNetworkFileTest : public testing::Test {
 protected:
  HyperNetworkFileTest() {
    fs::create_directories(folder_);
    const HyperNetworkKind& kind = *find_hyper_network_kind("mend");
    HyperOptions options;
    for (const HyperOption& option : kind.options) options[option.name] = option.fallback;
    auto network = kind.make(kind.initial(options, kGoldenSites, {}, Rng(4)));
    for (const EditSignal& signal : golden_network("mend").signals) network->observe(signal);
    file_ = {"mend", ContentHash::of("model"), ContentHash::of("facts"), ContentHash::of("settings"),
             7,      network->state()};
  }
  ~HyperNetworkFileTest() override { fs::remove_all(folder_); }

  static std::string bytes(const fs::path& path) {
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  std::string refusal(const std::string& name) const {
    try {
      HyperNetworkFile::load(folder_ / name);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUser);
      return error.what();
    }
    return "no error";
  }

  fs::path folder_ = fs::path(testing::TempDir()) / ("retune_hyper_file_" + std::to_string(::getpid()));
  HyperNetworkFile file_;
};

TEST_F(HyperNetworkFileTest, ReadsBackWhatItWroteAndWritesTheSameBytes) {
  file_.save(folder_ / "a.h5");
  const HyperNetworkFile back = HyperNetworkFile::load(folder_ / "a.h5");
  EXPECT_EQ(back.kind, file_.kind);
  EXPECT_EQ(back.model, file_.model);
  EXPECT_EQ(back.facts, file_.facts);
  EXPECT_EQ(back.settings, file_.settings);
  EXPECT_EQ(back.edits, 7);
  EXPECT_EQ(back.state.sites, file_.state.sites);
  EXPECT_EQ(back.state.options, file_.state.options);
  ASSERT_EQ(back.state.parameters.size(), file_.state.parameters.size());
  for (const auto& [name, tensor] : file_.state.parameters)
    EXPECT_TRUE(identical(back.state.parameters.at(name), tensor)) << name;
  ASSERT_EQ(back.state.statistics.size(), file_.state.statistics.size());
  for (const auto& [name, tensor] : file_.state.statistics)
    EXPECT_TRUE(identical(back.state.statistics.at(name), tensor)) << name;
  EXPECT_NO_THROW(find_hyper_network_kind("mend")->make(back.state));
  back.save(folder_ / "b.h5");
  EXPECT_EQ(bytes(folder_ / "a.h5"), bytes(folder_ / "b.h5"));
}

TEST_F(HyperNetworkFileTest, HalfPrecisionRoundsParametersAndNothingElse) {
  file_.save(folder_ / "half.h5", DType::kF16);
  const HyperNetworkFile back = HyperNetworkFile::load(folder_ / "half.h5");
  for (const auto& [name, tensor] : file_.state.parameters)
    EXPECT_TRUE(identical(back.state.parameters.at(name), tensor.cast(DType::kF16).cast(DType::kF32))) << name;
  for (const auto& [name, tensor] : file_.state.statistics)
    EXPECT_TRUE(identical(back.state.statistics.at(name), tensor)) << name;
}

TEST_F(HyperNetworkFileTest, RefusesWhatIsNoNetwork) {
  Hdf5Writer other(folder_ / "other.h5");
  other.write("x", Tensor::scalar(1.0));
  other.commit();
  EXPECT_THAT(refusal("other.h5"), HasSubstr("is not a hyper-network"));
  HyperNetworkFile odd = file_;
  odd.kind = "mind";
  odd.save(folder_ / "odd.h5");
  EXPECT_THAT(refusal("odd.h5"), HasSubstr("'mind'"));
  odd = file_;
  odd.state.options["rank"] = -1;
  odd.save(folder_ / "rank.h5");
  EXPECT_THAT(refusal("rank.h5"), HasSubstr("'rank'"));
  odd = file_;
  odd.state.sites[0].in = 0;
  odd.save(folder_ / "site.h5");
  EXPECT_THAT(refusal("site.h5"), HasSubstr("out of range"));
  Hdf5Writer version(folder_ / "version.h5");
  version.attribute("", "format", "retune-hyper-network");
  version.attribute("", "version", std::int64_t{9});
  version.write("x", Tensor::scalar(1.0));
  version.commit();
  EXPECT_THAT(refusal("version.h5"), HasSubstr("format 9"));
}

}  // namespace
}  // namespace retune
