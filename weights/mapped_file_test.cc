#include "weights/mapped_file.h"

#include <gmock/gmock.h>

#include "weights/onnx_test_models.h"

namespace retune {
namespace {

using namespace testing_models;

class MappedFileTest : public FolderTest {};

TEST_F(MappedFileTest, ShowsTheBytesAndOutlivesItsHandle) {
  write_bytes(folder_ / "a", "some bytes");
  std::shared_ptr<const void> owner;
  std::span<const std::byte> bytes;
  {
    const MappedFile file = MappedFile::open(folder_ / "a");
    owner = file.owner();
    bytes = file.bytes();
    EXPECT_EQ(file.path(), folder_ / "a");
  }
  std::filesystem::remove(folder_ / "a");
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), "some bytes");
}

TEST_F(MappedFileTest, AnEmptyFileHasNoBytes) {
  write_bytes(folder_ / "a", "");
  EXPECT_TRUE(MappedFile::open(folder_ / "a").bytes().empty());
}

TEST_F(MappedFileTest, AFileThatShrinksWhileMappedIsOneLineAndExitOne) {
  write_bytes(folder_ / "a", std::string(1 << 16, 'x'));
  EXPECT_EXIT(
      {
        install_sigbus_guard();
        const MappedFile file = MappedFile::open(folder_ / "a");
        std::filesystem::resize_file(folder_ / "a", 10);
        std::exit(static_cast<int>(file.bytes()[60000]));
      },
      testing::ExitedWithCode(1), "retune: error: a model file became shorter[^\n]*\n$");
}

}  // namespace
}  // namespace retune
