#include "lalm/context_folder.h"

#include <algorithm>
#include <memory>
#include <span>
#include <stdexcept>

#include "adapters/context_json.h"
#include "lalm/context.h"
#include "tensor/error.h"
#include "text/json_fields.h"
#include "weights/external_data.h"
#include "weights/mapped_file.h"

namespace retune {

namespace {

namespace fs = std::filesystem;
using OrderedJson = nlohmann::ordered_json;

constexpr const char* kFormat = "retune-context";
constexpr int kVersion = 1;
constexpr const char* kFile = "context.json";
constexpr const char* kQuestionSlot = "{question}";
constexpr std::uintmax_t kMaxBytes = std::uintmax_t{256} << 20;

// "clips/001-cow_1.flac": two clips of one name stay apart.
fs::path clip_file(std::size_t index, const std::string& name) {
  return fs::path("clips") / fmt::format("{:03}-{}", index + 1, name);
}

// As chat programs take it: role and parts, a clip by its file.
OrderedJson messages_json(const PromptContext& context, const std::vector<ContextClip>& clips) {
  OrderedJson messages = OrderedJson::array();
  messages.push_back({{"role", "system"}, {"content", context.system_message()}});
  for (const Demonstration* demonstration : context.demonstrations()) {
    OrderedJson content = OrderedJson::array();
    if (demonstration->clip) {
      const auto clip = std::find_if(clips.begin(), clips.end(), [&](const ContextClip& other) {
        return other.name == demonstration->clip->name && identical(other.bytes, demonstration->clip->bytes);
      });
      const auto index = static_cast<std::size_t>(clip - clips.begin());
      content.push_back({{"type", "audio"}, {"audio", clip_file(index, clip->name).generic_string()}});
    }
    content.push_back({{"type", "text"}, {"text", demonstration->question}});
    messages.push_back({{"role", "user"}, {"content", std::move(content)}});
    messages.push_back({{"role", "assistant"}, {"content", demonstration->answer}});
  }
  return messages;
}

std::string prompt_text(const Bundle& bundle, const PromptContext& context, std::size_t clips) {
  std::vector<Turn> turns = turns_of(context);
  turns.push_back(question_turn(kQuestionSlot, clips));
  return bundle.chat().render(turns);
}

Tensor read_clip(const fs::path& file) {
  std::error_code ignored;
  if (fs::is_symlink(file, ignored)) throw user_error("{} is a symbolic link; expected a sound file", file.string());
  const MappedFile mapped = MappedFile::open(file);
  return Tensor::view(DType::kU8, {static_cast<std::int64_t>(mapped.bytes().size())}, mapped.bytes().data(),
                      mapped.owner());
}

}  // namespace

void save_context(const Bundle& bundle, const fs::path& folder, Existing existing) {
  if (bundle.context() == nullptr) throw std::logic_error("the bundle has no context to save");
  const PromptContext& context = bundle.context()->context;
  const std::vector<ContextClip> clips = distinct_clips(context);
  OrderedJson document = {{"format", kFormat}, {"version", kVersion}};
  document.update(context_json(context));
  for (std::size_t i = 0; i < clips.size(); ++i)
    document["clips"][i]["file"] = clip_file(i, clips[i].name).generic_string();
  document["messages"] = messages_json(context, clips);
  document["placeholder"] = bundle.placeholder();
  document["prompt_with_sound"] = prompt_text(bundle, context, 1);
  document["prompt_without_sound"] = prompt_text(bundle, context, 0);
  StagedFolder staged(folder, existing, {.holds = {kFile}});
  if (!clips.empty()) fs::create_directories(staged.path() / "clips");
  for (std::size_t i = 0; i < clips.size(); ++i)
    write_file_atomically(staged.path() / clip_file(i, clips[i].name),
                          std::span(clips[i].bytes.raw(), clips[i].bytes.bytes()));
  write_file_atomically(staged.path() / kFile,
                        document.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n");
  staged.commit();
}

PromptContext load_context(const fs::path& folder) {
  const fs::path file = folder / kFile;
  const Json document = read_json(file, kMaxBytes);
  try {
    if (!document.is_object() || document.value("format", "") != kFormat)
      throw user_error("{} is not a context: its 'format' is not '{}'", file.string(), kFormat);
    if (document.at("version") != kVersion)
      throw user_error("{} is a context of version {}; this Retune reads version {}", file.string(),
                       document.at("version").dump(), kVersion);
    return context_from(document, [&](std::size_t index) {
      return read_clip(folder / clip_file(index, document.at("clips").at(index).at("name").get<std::string>()));
    });
  } catch (const Json::exception& error) {
    throw user_error("{}: {}", file.string(), printable(error.what(), 200));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kUser) throw;
    const std::string what = error.what();
    throw what.find(folder.string()) != std::string::npos ? user_error("{}", what)
                                                          : user_error("{}: {}", file.string(), what);
  }
}

Bundle with_context(const Bundle& bundle, PromptContext context) {
  Patch patch;
  patch.method = "context";
  patch.graph_hash = bundle.view().graph_hash();
  patch.files = bundle.view().files();
  patch.beneath = bundle.view().patch_ids();
  patch.context = std::move(context);
  return bundle.with(std::make_shared<const Patch>(std::move(patch)));
}

}  // namespace retune
