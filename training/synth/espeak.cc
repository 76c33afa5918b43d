#include "training/synth/espeak.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <system_error>
#include <vector>

#include "tensor/error.h"

namespace retune::synth {

namespace {

constexpr const char* kProgram = "espeak-ng";
constexpr int kTimeoutMs = 30000;
constexpr std::size_t kMaxOutput = std::size_t{32} << 20;

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() { close(); }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

class SpawnActions {
 public:
  SpawnActions() { posix_spawn_file_actions_init(&actions_); }
  ~SpawnActions() { posix_spawn_file_actions_destroy(&actions_); }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

pid_t start(std::vector<std::string> arguments, int output) {
  SpawnActions actions;
  posix_spawn_file_actions_addopen(actions.get(), STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(actions.get(), output, STDOUT_FILENO);
  posix_spawn_file_actions_addopen(actions.get(), STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_t child = -1;
  const int error = posix_spawnp(&child, kProgram, actions.get(), nullptr, argv.data(), environ);
  if (error == ENOENT) {
    throw user_error(
        "{}: program not found: speech is made with it; install it (apt-get install espeak-ng) or choose attributes "
        "without speech",
        kProgram);
  }
  if (error != 0) throw failure("{}: cannot be started: {}", kProgram, std::generic_category().message(error));
  return child;
}

// Everything the child writes until it closes its output; false if it was too slow or too long.
bool read_all(int input, std::string& bytes) {
  std::array<char, 65536> buffer{};
  while (bytes.size() <= kMaxOutput) {
    pollfd waiting{input, POLLIN, 0};
    const int ready = poll(&waiting, 1, kTimeoutMs);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return false;
    const ssize_t got = read(input, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    if (got == 0) return true;
    bytes.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return false;
}

std::string output_of(const std::vector<std::string>& arguments) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw failure("{}: no pipe: {}", kProgram, std::generic_category().message(errno));
  FileDescriptor input(ends[0]);
  FileDescriptor output(ends[1]);
  const pid_t child = start(arguments, output.get());
  output.close();
  std::string bytes;
  const bool whole = read_all(input.get(), bytes);
  if (!whole) kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!whole) throw failure("{}: gave no complete output within {} s", kProgram, kTimeoutMs / 1000);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    throw failure("{}: failed (status {}); check that it runs by hand", kProgram, status);
  }
  return bytes;
}

std::uint32_t little_endian(const std::string& bytes, std::size_t at, int width) {
  std::uint32_t value = 0;
  for (int i = 0; i < width; ++i) {
    value |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[at + static_cast<std::size_t>(i)])) << (8 * i);
  }
  return value;
}

// 16-bit mono WAV as written to a pipe: the lengths in its header are those of an endless file, so the data chunk is
// taken to reach to the end.
Waveform parse_streamed_wave(const std::string& bytes) {
  Waveform wave;
  for (std::size_t at = 12; at + 8 <= bytes.size();) {
    const std::string id = bytes.substr(at, 4);
    const std::uint32_t length = little_endian(bytes, at + 4, 4);
    at += 8;
    if (id == "fmt " && at + 16 <= bytes.size()) {
      const bool pcm16_mono = little_endian(bytes, at, 2) == 1 && little_endian(bytes, at + 2, 2) == 1 &&
                              little_endian(bytes, at + 14, 2) == 16;
      if (!pcm16_mono) return {};
      wave.rate_hz = static_cast<int>(little_endian(bytes, at + 4, 4));
    } else if (id == "data") {
      for (; at + 2 <= bytes.size(); at += 2) {
        const auto sample = static_cast<std::int16_t>(little_endian(bytes, at, 2));
        wave.samples.push_back(static_cast<float>(sample) / 32768.0f);
      }
      break;
    }
    at += length;
  }
  return wave;
}

std::string xml_escaped(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '&') {
      escaped += "&amp;";
    } else if (c == '<') {
      escaped += "&lt;";
    } else if (c == '>') {
      escaped += "&gt;";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

}  // namespace

Waveform speak(const Utterance& utterance) {
  // SSML, because only its prosody element reaches the pitch range.
  const std::string markup =
      fmt::format("<prosody range=\"{}%\">{}</prosody>", utterance.range_percent, xml_escaped(utterance.text));
  const std::string bytes = output_of({kProgram, "-b", "1", "-m", "-z", "-v", utterance.voice + "+" + utterance.variant,
                                       "-p", std::to_string(utterance.pitch), "-s",
                                       std::to_string(utterance.words_per_minute), "--stdout", markup});
  Waveform wave = parse_streamed_wave(bytes);
  if (wave.rate_hz < kMinRateHz || wave.rate_hz > kMaxRateHz || is_silent(wave)) {
    throw failure("{}: no 16-bit mono speech came for voice {}+{} and the text '{}'; is its language data installed?",
                  kProgram, utterance.voice, utterance.variant, utterance.text);
  }
  return wave;
}

bool espeak_installed() {
  try {
    espeak_version();
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::string espeak_version() {
  std::string line = output_of({kProgram, "--version"});
  line.resize(std::min(line.find('\n'), line.size()));
  // What follows is where its data lies: of this machine, not of the program.
  const std::size_t place = line.find("  Data at");
  if (place != std::string::npos) line.resize(place);
  return line;
}

}  // namespace retune::synth
