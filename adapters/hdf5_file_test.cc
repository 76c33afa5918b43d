#include "adapters/hdf5_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "adapters/hdf5_layout.h"
#include "adapters/hdf5_writer.h"
#include "tensor/error.h"
#include "tensor/rng.h"
#include "tests/oracle.h"

namespace retune {
namespace {

using ::testing::HasSubstr;

const std::filesystem::path kGolden = "tests/golden/hdf5";

class Hdf5 : public ::testing::Test {
 protected:
  Hdf5() : folder_(std::filesystem::path(::testing::TempDir()) / ("retune-hdf5-" + std::to_string(getpid()))) {
    std::filesystem::create_directories(folder_);
  }
  ~Hdf5() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path file(const std::string& name) const { return folder_ / name; }

  std::filesystem::path folder_;
};

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void put(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// A file that lies in memory: thousands of damaged ones are read below.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(memfd_create("damaged", MFD_CLOEXEC)) {}
  ~MemoryFile() { close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::filesystem::path holding(const std::string& bytes) const {
    EXPECT_EQ(ftruncate(descriptor_, 0), 0);
    EXPECT_EQ(pwrite(descriptor_, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    return fmt::format("/proc/self/fd/{}", descriptor_);
  }

 private:
  int descriptor_;
};

// What make.py's ramp() holds.
std::vector<double> ramp(std::int64_t count, double start = -5) {
  std::vector<double> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), start);
  return values;
}

// Reads everything there is; what a program does with a file from a stranger.
std::size_t read_all(const std::filesystem::path& path) {
  const Hdf5File file = Hdf5File::open(path);
  std::size_t bytes = 0;
  for (const std::string& dataset : file.datasets()) bytes += file.read(dataset).bytes();
  return bytes;
}

std::string error_of(const std::filesystem::path& path) {
  try {
    read_all(path);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  return "no error";
}

TEST_F(Hdf5, ReadsEveryTypeThatH5pyWrites) {
  const Hdf5File file = Hdf5File::open(kGolden / "types.h5");
  const std::map<std::string, DType> types{
      {"f2", DType::kF16},     {"f4", DType::kF32},     {"f8", DType::kF64},     {"u1", DType::kU8},
      {"i1", DType::kI8},      {"u2", DType::kU16},     {"i2", DType::kI16},     {"u4", DType::kU32},
      {"i4", DType::kI32},     {"u8", DType::kU64},     {"i8", DType::kI64},     {"big_f4", DType::kF32},
      {"big_f8", DType::kF64}, {"big_i2", DType::kI16}, {"big_i8", DType::kI64}, {"big_u4", DType::kU32}};
  for (const auto& [name, dtype] : types) {
    const Tensor tensor = file.read(name);
    EXPECT_EQ(tensor.dtype(), dtype) << name;
    EXPECT_EQ(tensor.shape(), (Shape{3, 4})) << name;
    EXPECT_EQ(tensor.to_f64(), ramp(12, name.find('u') == std::string::npos ? -5 : 0)) << name;
  }
  EXPECT_TRUE(identical(file.read("bool"), Tensor::vector(std::vector<std::uint8_t>{1, 0, 1}).cast(DType::kBool)));
  EXPECT_TRUE(identical(file.read("scalar"), Tensor::scalar(2.5f)));
  EXPECT_EQ(file.read("empty").shape(), (Shape{0, 3}));
  EXPECT_EQ(file.read("bf16").dtype(), DType::kBF16);
  EXPECT_EQ(file.read("bf16").to_f64(), (std::vector<double>{1, -2}));
  EXPECT_EQ(file.read("group/nested").to_f64(), ramp(2));
  EXPECT_EQ(file.integer_attribute("commented", "number"), 7);
  EXPECT_EQ(file.integer_attribute("commented", "absent"), std::nullopt);
  EXPECT_EQ(file.text_attribute("named", "name"), "/model/x.%");
}

TEST_F(Hdf5, ReadsChunksPlainDeflatedAndShuffled) {
  const Hdf5File file = Hdf5File::open(kGolden / "chunks.h5");
  EXPECT_EQ(file.read("plain").to_f64(), ramp(35));
  EXPECT_EQ(file.read("gzip").to_f64(), ramp(35));
  EXPECT_EQ(file.read("both").to_f64(), ramp(140));
  EXPECT_EQ(file.read("both").shape(), (Shape{7, 5, 4}));
  EXPECT_EQ(file.read("line").to_f64(), ramp(1000));
  EXPECT_EQ(file.read("many").to_f64(), ramp(300));
}

TEST_F(Hdf5, ReadsGroupsOfManyNodes) {
  const Hdf5File file = Hdf5File::open(kGolden / "groups.h5");
  ASSERT_EQ(file.datasets().size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(file.read(fmt::format("g/{:03}", i)).to_i64(), std::vector<std::int64_t>{i});
}

TEST_F(Hdf5, RefusesWhatReachesOutsideOrHasNoTensor) {
  const std::map<std::string, std::string> expected{
      {"external_storage.h5", "external storage"},
      {"external_link.h5", "external link"},
      {"soft_link.h5", "soft link"},
      {"hard_link_cycle.h5", "linked twice"},
      {"virtual.h5", "is virtual"},
      {"vlen_text.h5", "variable-length string"},
      {"vlen_sequence.h5", "variable-length sequence"},
      {"reference.h5", "a reference"},
      {"compound.h5", "a compound"},
      {"committed_type.h5", "neither a group nor a dataset"},
      {"enum.h5", "an enumeration"},
      {"null.h5", "null dataspace"},
      {"lzf.h5", "filter 32000"},
      {"fletcher.h5", "filter 3"},
      {"huge.h5", "but stores 0"},
      {"huge_chunks.h5", "write all of its values"},
      {"huge_deflated.h5", "write all of its values"},
      {"latest.h5", "libver='earliest'"},
      {"bad_word.h5", "dtype says 'bfloat16'"},
      {"vlen_word.h5", "numpy.bytes_"},
  };
  for (const auto& [name, words] : expected) EXPECT_THAT(error_of(kGolden / name), HasSubstr(words)) << name;
}

TEST_F(Hdf5, RefusesWhatIsNoHdf5) {
  put(file("empty.h5"), "");
  EXPECT_THAT(error_of(file("empty.h5")), HasSubstr("not an HDF5 file"));
  put(file("text.h5"), "input_ids: [1, 2, 3]\n");
  EXPECT_THAT(error_of(file("text.h5")), HasSubstr("not an HDF5 file"));
  EXPECT_THROW(Hdf5File::open(file("absent.h5")), Error);
  EXPECT_THROW(Hdf5File::open(folder_), Error);
}

TEST_F(Hdf5, EveryTruncationIsAnError) {
  const MemoryFile memory;
  for (const std::string name : {"types.h5", "chunks.h5"}) {
    const std::string whole = bytes_of(kGolden / name);
    for (std::size_t length = 0; length < whole.size(); length += length < 3000 ? 7 : 97) {
      EXPECT_NE(error_of(memory.holding(whole.substr(0, length))), "no error") << name << " cut to " << length;
    }
  }
}

// Damaged structures give an error or other values, and never a crash or memory beyond what the file accounts for (the
// sanitizers and the allocator watch).
TEST_F(Hdf5, DamagedBytesNeverCrash) {
  const MemoryFile memory;
  Rng rng(7);
  int refused = 0;
  for (const std::string name : {"types.h5", "chunks.h5", "groups.h5", "both"}) {
    const bool twice = name == "both";
    const std::string whole = bytes_of(kGolden / (twice ? "chunks.h5" : name));
    for (int round = 0; round < 1500; ++round) {
      std::string damaged = whole;
      for (int flips = twice ? 8 : 1; flips > 0; --flips) {
        const std::size_t at = rng.below(damaged.size());
        static constexpr char kNasty[] = {'\0', '\1', '\x7f', '\x80', '\xff'};
        damaged[at] = round % 2 != 0 ? kNasty[rng.below(sizeof kNasty)] : static_cast<char>(rng.bits());
      }
      try {
        EXPECT_LT(read_all(memory.holding(damaged)), std::size_t{64} << 20);
      } catch (const Error&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 100);
}

TEST_F(Hdf5, WhatIsWrittenIsReadBack) {
  const std::vector<Tensor> tensors{Tensor::of<float>({2, 3}, {1, -0.0f, 3, 4, 5, 6}),
                                    Tensor::of<double>({2}, {0.1, -7}),
                                    Tensor::of<std::int64_t>({}, {INT64_MIN}),
                                    Tensor::of<std::uint64_t>({1}, {UINT64_MAX}),
                                    Tensor::of<std::int8_t>({1, 1, 2}, {-1, 1}),
                                    Tensor::of<F16>({2}, {F16::from(1.5f), F16::from(-65504)}),
                                    Tensor::of<BF16>({2}, {BF16::from(1.5f), BF16::from(-3e38f)}),
                                    Tensor::vector(std::vector<std::uint8_t>{1, 0, 1}).cast(DType::kBool),
                                    Tensor::zeros(DType::kF32, {0, 4}),
                                    Tensor::zeros(DType::kF32, {3000})};
  {
    Hdf5Writer writer(file("all.h5"));
    for (std::size_t i = 0; i < tensors.size(); ++i) writer.write(fmt::format("deep/er/{}", i), tensors[i]);
    writer.write_text("text", "Grüße\n");
    writer.write_text("nothing", "");
    writer.attribute("", "word", "root");
    writer.attribute("deep", "number", -5);
    writer.commit();
  }
  const Hdf5File read = Hdf5File::open(file("all.h5"));
  EXPECT_EQ(read.datasets().size(), tensors.size() + 2);
  for (std::size_t i = 0; i < tensors.size(); ++i)
    EXPECT_TRUE(identical(read.read(fmt::format("deep/er/{}", i)), tensors[i])) << tensors[i].text();
  EXPECT_EQ(read.read_text("text"), "Grüße\n");
  EXPECT_EQ(read.read_text("nothing"), "");
  EXPECT_EQ(read.text_attribute("", "word"), "root");
  EXPECT_EQ(read.integer_attribute("deep", "number"), -5);
  EXPECT_THROW((void)read.read("text"), Error);
  EXPECT_THROW((void)read.read("absent"), Error);
}

TEST_F(Hdf5, SameContentSameBytes) {
  for (const char* name : {"a.h5", "b.h5"}) {
    Hdf5Writer writer(file(name));
    for (int i = 0; i < 40; ++i) writer.write(fmt::format("g{}/x", i), Tensor::zeros(DType::kF64, {i, 3}));
    writer.attribute("g3", "word", "value");
    writer.commit();
    if (std::string(name) == "a.h5") usleep(1100000);  // a time stamp of a second's resolution would differ
  }
  EXPECT_EQ(bytes_of(file("a.h5")), bytes_of(file("b.h5")));
}

TEST_F(Hdf5, NothingIsThereBeforeCommitAndNothingAfterAFailure) {
  put(file("kept.h5"), "what was there before");
  {
    Hdf5Writer writer(file("kept.h5"));
    writer.write("x", Tensor::scalar(1.0f));
    EXPECT_THROW(writer.write("x", Tensor::scalar(1.0f)), Error) << "a dataset twice";
    EXPECT_THROW(writer.write_text("y", std::string_view("a\0b", 3)), Error);
    EXPECT_THROW(writer.attribute("x", "long", std::string(70000, 'a')), Error);
    EXPECT_EQ(bytes_of(file("kept.h5")), "what was there before");
  }
  EXPECT_EQ(bytes_of(file("kept.h5")), "what was there before");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
  EXPECT_THROW(Hdf5Writer(file("no/folder/x.h5")), Error);
}

// A full disk: the limit on the size of files stands in for it, at several points of the writing.
TEST_F(Hdf5, AFullDiskIsAnErrorAndLeavesNothing) {
  for (const rlim_t limit : {rlim_t{0}, rlim_t{100}, rlim_t{4096}, rlim_t{1} << 19, (rlim_t{1} << 20) + 63}) {
    const pid_t child = fork();
    if (child == 0) {
      signal(SIGXFSZ, SIG_IGN);
      const rlimit bytes{limit, limit};
      setrlimit(RLIMIT_FSIZE, &bytes);
      try {
        Hdf5Writer writer(file("big.h5"));
        writer.write("x", Tensor::zeros(DType::kU8, {1 << 20}));
        writer.commit();
      } catch (const Error& error) {
        _exit(static_cast<int>(error.code()));
      }
      _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == static_cast<int>(ErrorCode::kFailure)) << limit;
    EXPECT_TRUE(std::filesystem::is_empty(folder_)) << limit;
  }
}

TEST_F(Hdf5, PythonReadsWhatIsWritten) {
  if (const std::string reason = h5py_is_missing(); !reason.empty()) RETUNE_ORACLE_MISSING(reason);
  Hdf5Writer writer(file("x.h5"));
  writer.write("m", Tensor::of<float>({2, 2}, {1, 2, 3, 4}));
  writer.write("g/h", Tensor::of<F16>({1}, {F16::from(0.5f)}));
  writer.write("b", Tensor::vector(std::vector<std::uint8_t>{1, 0}).cast(DType::kBool));
  writer.write("bf", Tensor::of<BF16>({1}, {BF16::from(1.0f)}));
  writer.write_text("t", "Grüße");
  writer.attribute("m", "name", "a/b");
  writer.attribute("", "version", 3);
  writer.write("i4", Tensor::of<float>({3}, {-3, 0, 7}).cast(DType::kI4));
  writer.write("empty", Tensor::zeros(DType::kF32, {0, 4}));
  // Enough links for three levels of the group's index, which h5py searches by name.
  for (int i = 0; i < 3000; ++i) writer.write(fmt::format("many/{}", i), Tensor::scalar(std::int32_t{i}));
  writer.commit();
  const std::string script =
      "import h5py, numpy as np\n"
      "f = h5py.File('" +
      file("x.h5").string() +
      "')\n"
      "assert f['m'].dtype == np.float32 and f['m'][:].tolist() == [[1, 2], [3, 4]]\n"
      "assert f['g/h'].dtype == np.float16 and f['g/h'][0] == 0.5\n"
      "assert f['b'].dtype == bool and f['b'][:].tolist() == [True, False]\n"
      "assert f['bf'].dtype == np.uint16 and f['bf'][0] == 0x3f80 and f['bf'].attrs['dtype'] == b'bfloat16'\n"
      "assert f['i4'][:].tolist() == [13, 0, 7] and f['i4'].attrs['dtype'] == b'i4'\n"
      "assert f['t'][()].decode() == 'Grüße' and f['m'].attrs['name'] == b'a/b'\n"
      "assert f.attrs['version'] == 3 and f['empty'].shape == (0, 4) and f['empty'].dtype == np.float32\n"
      "assert len(f['many']) == 3000 and all(f['many/%d' % i][()] == i for i in range(3000)) and 'x' not in f['many']\n"
      "assert sorted(f['many']) == list(f['many'])\n";
  put(file("check.py"), script);
  EXPECT_EQ(std::system(("/usr/bin/python3 " + file("check.py").string()).c_str()), 0);
}

}  // namespace
}  // namespace retune
