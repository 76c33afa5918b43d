#include "weights/external_data.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "weights/onnx_test_models.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using namespace testing_models;
using testing::HasSubstr;

// A bundle with a model in onnx/ and a secret beside the bundle.
class ExternalFileTest : public FolderTest {
 protected:
  ExternalFileTest() {
    fs::create_directories(onnx_ / "parts");
    write_bytes(onnx_ / "data", "inside");
    write_bytes(onnx_ / "parts" / "more", "deeper");
    write_bytes(folder_ / "bundle" / "shared", "in the bundle");
    write_bytes(folder_ / "secret", "outside");
  }

  std::string content(const std::string& location, const fs::path& bundle = {}) const {
    const MappedFile file = open_external(ExternalRoots::of(onnx_ / "m.onnx", bundle), location);
    return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
  }
  std::string refusal(const std::string& location, const fs::path& bundle = {}) const {
    return error_of([&] { content(location, bundle); });
  }

  fs::path onnx_ = folder_ / "bundle" / "onnx";
};

TEST(Printable, ShowsForeignTextOnOneShortLine) {
  EXPECT_EQ(printable("layer.0/weight"), "layer.0/weight");
  EXPECT_EQ(printable("a\n\x1b[31mb"), "a??[31mb");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a?b");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m \xc2\xa0\xc3\xa9"),
            "?31m \xc2\xa0\xc3\xa9");  // U+009B is CSI
  EXPECT_EQ(printable("\xc3\xa9\xc3\xa9", 3), "\xc3\xa9...");
  EXPECT_EQ(printable(std::string(100, 'x')), std::string(80, 'x') + "...");
}

TEST(CheckLocation, RefusesEveryHostileSpelling) {
  const std::pair<std::string, std::string> table[] = {
      {"", "empty"},
      {"/etc/passwd", "absolute"},
      {"//server/share", "absolute"},
      {"C:\\secret", "backslash"},
      {"C:/secret", "drive"},
      {"c:secret", "drive"},
      {"\\\\server\\share", "backslash"},
      {"a\\..\\b", "backslash"},
      {"..", "leaves"},
      {"../secret", "leaves"},
      {"a/../../secret", "leaves"},  // CVE-2024-27318
      {"a/../b", "leaves"},          // harmless, but nobody needs it
      {"./../secret", "leaves"},
      {"a/..", "leaves"},
      {std::string("data\0/../x", 10), "NUL"},
      {std::string(2000, 'a'), "longer"},
  };
  for (const auto& [location, why] : table)
    EXPECT_THAT(error_of([&] { check_location(location); }), HasSubstr(why)) << location;
  for (const char* fine :
       {"data", "model.onnx_data_1", "parts/more", "./data", "..data", "a..b", "...", "layers.0:weight"})
    EXPECT_NO_THROW(check_location(fine)) << fine;
}

TEST(ParseExternalNumber, TakesDecimalsThatFitAndNothingElse) {
  EXPECT_EQ(parse_external_number("offset", "0"), 0u);
  EXPECT_EQ(parse_external_number("offset", "9223372036854775807"), 9223372036854775807u);
  for (const char* bad :
       {"", "-1", "+1", " 1", "1 ", "0x10", "1e3", "1.0", "9223372036854775808", "99999999999999999999999", "\xd9\xa1"})
    EXPECT_THAT(error_of([&] { parse_external_number("offset", bad); }), HasSubstr("offset")) << bad;
}

TEST_F(ExternalFileTest, OpensFilesBelowTheModelsFolder) {
  EXPECT_EQ(content("data"), "inside");
  EXPECT_EQ(content("./data"), "inside");
  EXPECT_EQ(content("parts/more"), "deeper");
}

TEST_F(ExternalFileTest, RefusesWhatIsMissingOrNoRegularFile) {
  EXPECT_THAT(refusal("nothing"), HasSubstr("nothing"));
  EXPECT_THAT(refusal("parts"), HasSubstr("regular file"));
  EXPECT_THAT(refusal("data/more"), HasSubstr("data/more"));
  ASSERT_EQ(mkfifo((onnx_ / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(refusal("pipe"), HasSubstr("regular file"));
}

TEST_F(ExternalFileTest, FollowsLinksOnlyAsFarAsTheBundleReaches) {
  fs::create_symlink("data", onnx_ / "link");
  fs::create_symlink("../shared", onnx_ / "up");
  fs::create_symlink(folder_ / "bundle" / "shared", onnx_ / "absolute");
  fs::create_symlink("../../secret", onnx_ / "out");
  fs::create_directory_symlink("../..", onnx_ / "folder_out");
  fs::create_symlink("out", onnx_ / "twice_out");
  fs::create_symlink("loop", onnx_ / "loop");
  EXPECT_EQ(content("link"), "inside");
  EXPECT_EQ(content("up", folder_ / "bundle"), "in the bundle");
  EXPECT_EQ(content("absolute", folder_ / "bundle"), "in the bundle");
  EXPECT_THAT(refusal("up"), HasSubstr("outside"));  // without a bundle the model's own folder is the limit
  for (const char* location : {"out", "folder_out/secret", "twice_out"})
    EXPECT_THAT(refusal(location, folder_ / "bundle"), HasSubstr("outside")) << location;
  refusal("loop");
}

TEST_F(ExternalFileTest, TheModelsOwnFolderMayBeReachedThroughALink) {
  fs::create_directory_symlink(onnx_, folder_ / "alias");
  const MappedFile file = open_external(ExternalRoots::of(folder_ / "alias" / "m.onnx", {}), "data");
  EXPECT_EQ(file.bytes().size(), 6u);
  EXPECT_THAT(error_of([&] { ExternalRoots::of(folder_ / "elsewhere.onnx", folder_ / "bundle"); }),
              HasSubstr("does not lie"));
}

TEST_F(ExternalFileTest, ReadsAHuggingFaceCacheButNothingBesideItsBlobs) {
  const fs::path repo = folder_ / "models--a--b";
  const fs::path snapshot = repo / "snapshots" / "0123abcd";
  fs::create_directories(snapshot / "onnx");
  fs::create_directories(repo / "blobs" / "deep");
  fs::create_directories(repo / "refs");
  write_bytes(repo / "blobs" / "5f5f", "blob");
  write_bytes(repo / "refs" / "main", "0123abcd");
  write_bytes(repo / "blobs" / "deep" / "x", "too deep");
  fs::create_symlink("../../../blobs/5f5f", snapshot / "onnx" / "data");
  fs::create_symlink("../../../refs/main", snapshot / "onnx" / "refs");
  fs::create_symlink("../../../blobs/deep/x", snapshot / "onnx" / "deep");
  for (const fs::path& bundle : {fs::path(), snapshot}) {
    const ExternalRoots roots = ExternalRoots::of(snapshot / "onnx" / "m.onnx", bundle);
    EXPECT_EQ(open_external(roots, "data").bytes().size(), 4u);
    EXPECT_THAT(error_of([&] { open_external(roots, "refs"); }), HasSubstr("outside"));
    EXPECT_THAT(error_of([&] { open_external(roots, "deep"); }), HasSubstr("outside"));
  }
}

// A hard link passes every check of paths (GHSA-cmw6-hcpp-c6jp); only the file's owner and mode can vouch for it.
TEST_F(ExternalFileTest, TakesAHardLinkOnlyOfAFileThatIsThisUsersAlone) {
  fs::create_hard_link(folder_ / "secret", onnx_ / "hard");
  fs::permissions(folder_ / "secret", fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_EQ(content("hard"), "outside");
  fs::permissions(folder_ / "secret", fs::perms::others_write, fs::perm_options::add);
  EXPECT_THAT(refusal("hard"), HasSubstr("hard links"));
}

TEST_F(ExternalFileTest, RangesBeyondTheFileAreRefusedWhereverTheTensorSits) {
  const std::pair<std::vector<std::pair<std::string, std::string>>, std::string> table[] = {
      {{{"location", "data"}}, "takes 12 bytes, got 6"},
      {{{"location", "data"}, {"length", "12"}}, "beyond the end"},
      {{{"location", "data"}, {"offset", "7"}, {"length", "0"}}, "beyond the end"},
      {{{"location", "data"}, {"offset", "9223372036854775807"}, {"length", "9223372036854775807"}}, "beyond the end"},
      // The message named neither tensor nor file.
      {{{"location", "data"}, {"offset", "-1"}},
       "tensor 'w' in " + (onnx_ / "m.onnx").string() + ": external data offset '-1' is not a decimal number"},
      {{{"location", "data"}, {"offset", "0"}, {"length", "6"}}, "takes 12 bytes, got 6"},
      {{{"location", "../../secret"}}, "leaves"},
      {{{"location", "none"}}, "none"},
      {{{"offset", "0"}}, "empty"},
      {{{"location", "data"}, {"location", "parts/more"}}, "two external_data entries"},
  };
  for (const auto& [entries, why] : table) {
    onnx::TensorProto bad = small_model().graph().initializer(0);
    set_external(bad, entries);
    std::vector<onnx::ModelProto> models(5, small_model());
    onnx::GraphProto& graph = *models[0].mutable_graph();
    *graph.mutable_initializer(0) = bad;
    *models[1].mutable_graph()->mutable_node(0)->add_attribute()->mutable_t() = bad;
    *models[2].mutable_graph()->add_sparse_initializer()->mutable_values() = bad;
    *models[3].mutable_graph()->mutable_node(0)->add_attribute()->mutable_sparse_tensor()->mutable_indices() = bad;
    *models[4].add_functions()->add_node()->add_attribute()->add_tensors() = bad;
    for (const onnx::ModelProto& model : models) {
      write_bytes(onnx_ / "m.onnx", model.SerializeAsString());
      EXPECT_THAT(error_of([&] { OnnxModel::open(onnx_ / "m.onnx"); }), HasSubstr(why));
    }
  }
}

}  // namespace
}  // namespace retune
