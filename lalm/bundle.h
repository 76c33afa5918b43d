// An audio-language model as it is deployed: a folder of ONNX graphs, tokenizer, chat template and audio front-end,
// opened as one model.
//
//   Bundle base = Bundle::open("demo/bundle");
//   Bundle edited = base.with(patch);            // base is untouched
//   save(edited, "out/bundle");
//
// A Bundle is a cheap handle; nothing in it is ever written.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapters/model_view.h"
#include "audio/front_end.h"
#include "lalm/bundle_proof.h"
#include "lalm/inserted_bundle.h"
#include "lalm/site.h"
#include "tensor/staged_output.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "weights/onnx_model.h"

namespace retune {

struct HeardContext;  // lalm/context.h

// What the decoder graph declares.
struct DecoderInterface {
  struct Cache {
    std::string past_key, past_value, present_key, present_value;  // value names of one block
    Shape empty;                                                   // [1, kv_heads, 0, head_size]
    DType dtype = DType::kF32;
  };
  std::vector<Cache> caches;  // a block each; empty: no cache, every evaluation is whole
  bool position_ids = false, num_logits_to_keep = false, use_cache_branch = false;
  std::int64_t vocabulary = 0;
  std::int64_t width = 0;
  std::int64_t positions = 0;  // the most tokens that it was made for, as config.json says; 0: it does not
};

// A value by its file and the name that it has there.
struct FileValue {
  std::string file;  // relative to the bundle
  std::string name;
};

class Bundle {
 public:
  // The transformers.js / Ultravox layout (onnx-layouts.md 1.1): config.json, tokenizer.json, preprocessor_config.json,
  // processor_config.json, onnx/{audio_encoder, embed_tokens, decoder_model_merged}.onnx, roles found by structure
  // (1.8). User errors name the file, what is missing, and what to do.
  static Bundle open(const std::filesystem::path& folder);

  // Errors as ModelView::with(), and of inserts that do not fit (lalm/inserted_bundle.h).
  Bundle with(std::shared_ptr<const Patch> patch) const;
  Bundle without_top() const;
  Bundle without_patches() const;  // the model that the stack was made on

  const std::filesystem::path& folder() const;
  const ModelView& view() const;
  // By linked name: the view's, and those that inserts bring.
  const Parameters& parameters() const { return parameters_ ? *parameters_ : view().parameters(); }
  // The linked graphs, with audio inputs and without; with the inserts of the stack in them.
  const std::shared_ptr<const Graph>& graph() const;
  const std::shared_ptr<const Graph>& text_graph() const;
  const DecoderInterface& decoder() const;
  const Tokenizer& tokenizer() const;
  const ChatTemplate& chat() const;
  const FrontEnd& front_end() const;
  Padding padding() const;                 // how the layout pads clips before the front-end
  const std::string& placeholder() const;  // "<|audio|>"
  const std::vector<std::int64_t>& end_ids()
      const;  // EOS and the template's end-of-turn tokens: generation stops at any of them
  const SiteMap& sites() const;
  // By canonical name, node:NAME or init:NAME; a user error that names the nearest sites.
  Site site(const std::string& name) const;
  // Every parameter of a part: "decoder.block.5.mlp", "decoder.block.5", "connector", "encoder.block.3.mlp", or a
  // site's name. User error as site().
  std::vector<Site> sites_in(const std::string& part) const;
  // By file relative to the folder.
  const std::map<std::string, std::shared_ptr<const OnnxModel>>& models() const;
  // Whether something in it depends on where a call begins and ends (GraphInsert::per_call): then a prompt is read in
  // one call.
  bool per_call() const;
  // What the inserts add to the files, by file.
  const std::map<std::string, OnnxAddition>& additions() const;
  // Where a value of the linked graph comes from. User error for one that there is not, or that only the linking makes;
  // if `file` is given, for one of another file.
  FileValue file_value(const std::string& linked, const std::string& file = {}) const;
  int opset_of(const std::string& file) const;                                   // of ONNX's own operators
  DType float_type_of(const std::string& file, const std::string& value) const;  // lalm/inserted_bundle.h
  ContentHash hash() const;                                                      // view().hash()
  // What the patches say before every question; null if they say nothing.
  const HeardContext* context() const { return context_.get(); }

  struct State;  // bundle.cc's own

 private:
  Bundle(std::shared_ptr<const State> state, ModelView view, std::shared_ptr<const InsertedBundle> inserted);
  const BundleFile& file_of(const std::string& file) const;
  const Graph& plain_graph() const;  // linked, without the inserts of the stack
  std::shared_ptr<const State> state_;
  ModelView view_;
  std::shared_ptr<const InsertedBundle> inserted_;  // null where the stack inserts nothing
  std::shared_ptr<const Parameters> parameters_;    // likewise
  std::shared_ptr<const HeardContext> context_;
};

// By what a bundle is known where one is to be replaced.
FolderMarks bundle_marks();

// Writes the bundle's files with the edited tensors in place, everything else byte for byte, whole or not at all, and
// proves it (lalm/bundle_proof.h). proof_error (exit 4) if a delta rounds away entirely or anything else differs. `out`
// equal to, inside or around the source is refused. `observer` counts files written and compared, and questions asked;
// what it throws reaches the caller, and nothing is left.
BundleProof save(const Bundle& bundle, const std::filesystem::path& out, Existing existing, Session& session,
                 const ProofOptions& proof, const WorkObserver& observer = {});

}  // namespace retune
