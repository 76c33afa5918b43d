#include "cli/arguments.h"
#include "cli/commands/commands.h"
#include "cli/console.h"
#include "cli/session_flags.h"
#include "cli/work_bar.h"
#include "eval/text_table.h"
#include "graph/import.h"
#include "graph/summary.h"
#include "lalm/bundle.h"
#include "lalm/check.h"
#include "tensor/error.h"
#include "weights/external_data.h"
#include "weights/onnx_proto.h"

namespace retune {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Json ports_json(const std::vector<GraphSummary::Port>& ports) {
  Json result = Json::array();
  for (const auto& port : ports) result.push_back({{"name", port.name}, {"type", port.type}});
  return result;
}

enum class Hashes { kLeaveOut, kShow };

Json model_json(const OnnxModel& model, const std::string& file, Hashes hashes) {
  const GraphSummary summary = summarise(import_onnx(model, file));
  const auto& skeleton = model.skeleton();
  Json opsets = Json::object();
  for (const auto& opset : skeleton.opset_import())
    opsets[opset.domain().empty() ? "ai.onnx" : opset.domain()] = opset.version();
  Json parameters = Json::object();
  for (const auto& [dtype, tensors] : summary.parameters)
    parameters[dtype] = {{"tensors", tensors.tensors}, {"elements", tensors.elements}, {"bytes", tensors.bytes}};
  Json result = {{"file", file},
                 {"bytes", model.file_bytes()},
                 {"producer", skeleton.producer_name() +
                                  (skeleton.producer_version().empty() ? "" : " " + skeleton.producer_version())},
                 {"ir_version", skeleton.ir_version()},
                 {"opsets", opsets},
                 {"external_files", model.external_locations()},
                 {"nodes", summary.nodes},
                 {"parameters", parameters},
                 {"inputs", ports_json(summary.inputs)},
                 {"outputs", ports_json(summary.outputs)},
                 {"operators", summary.operators},
                 {"unsupported", summary.unsupported}};
  if (hashes == Hashes::kShow) {
    result["sha256"] = ContentHash::of_file(model.path()).hex();
    result["graph_sha256"] = model.graph_hash().hex();
  }
  return result;
}

Json site_json(const Site& site) {
  Json stored = Json::array();
  for (const DeltaTarget& target : site.targets)
    stored.push_back({{"file", target.file},
                      {"initializer", target.initializer},
                      {"transposed", target.transposed},
                      {"dtype", dtype_name(target.stored)}});
  static constexpr const char* kKinds[] = {"linear", "residual", "parameter"};  // in the order of Site::Kind
  return {{"name", site.name}, {"kind", kKinds[static_cast<int>(site.kind)]}, {"in", site.in},
          {"out", site.out},   {"shape", site.delta_shape.extents()},         {"stored", stored}};
}

Json bundle_json(const Bundle& bundle, Hashes hashes) {
  Json models = Json::array();
  for (const auto& [file, model] : bundle.models()) models.push_back(model_json(*model, file, hashes));
  const SiteMap& map = bundle.sites();
  Json sites = Json::array();
  for (const Site& site : map.sites) sites.push_back(site_json(site));
  Json result = {
      {"bundle", bundle.folder().string()},
      {"models", models},
      {"vocabulary", bundle.decoder().vocabulary},
      {"decoder", {{"blocks", map.blocks.decoder}, {"width", map.decoder_width}, {"hidden", map.decoder_hidden}}},
      {"encoder", {{"blocks", map.blocks.encoder}, {"width", map.encoder_width}}},
      {"connector", {{"layers", map.blocks.connector_layers}}},
      {"sites", sites},
      {"unexplained", map.unmatched}};
  if (hashes == Hashes::kShow) result["hash"] = bundle.hash().hex();
  return result;
}

// Names come from the file: they may be long, or hold what a terminal takes for commands.
std::string shown(const Json& text) { return printable(text.get<std::string>(), 200); }

std::string ports_text(const Json& ports) {
  std::string text;
  for (const Json& port : ports) text += fmt::format("    {}  {}\n", shown(port["name"]), shown(port["type"]));
  return text;
}

void print_model(const Json& model, std::ostream& out) {
  out << fmt::format("{}  {}, {} nodes", model["file"].get<std::string>(),
                     size_text(model["bytes"].get<std::int64_t>()), model["nodes"].get<std::int64_t>());
  for (const auto& [domain, version] : model["opsets"].items()) out << ", " << printable(domain) << " " << version;
  if (const std::string producer = shown(model["producer"]); !producer.empty()) out << ", by " << producer;
  out << "\n";
  for (const auto& [dtype, tensors] : model["parameters"].items())
    out << fmt::format("  {} parameters in {} tensors of {}, {}\n", tensors["elements"].get<std::int64_t>(),
                       tensors["tensors"].get<std::int64_t>(), dtype, size_text(tensors["bytes"].get<std::int64_t>()));
  out << "  inputs\n" << ports_text(model["inputs"]) << "  outputs\n" << ports_text(model["outputs"]);
  for (const auto& [op, count] : model["unsupported"].items())
    out << fmt::format("  not supported: {}, {} of {} nodes\n", printable(op), count.get<std::int64_t>(),
                       model["nodes"].get<std::int64_t>());
  if (model.contains("sha256"))
    out << "  file   " << model["sha256"].get<std::string>() << "\n  graph  "
        << model["graph_sha256"].get<std::string>() << "\n";
}

enum class Listed { kLayers, kEverything };

// Linear layers and the residual stream, and on request the biases, norms and tables between them.
std::string sites_table(const Json& sites, Listed listed) {
  std::vector<std::vector<std::string>> rows{{"site", "kind", "in", "out", "shape", "type"}};
  std::size_t left_out = 0;
  for (const Json& site : sites) {
    const auto kind = site["kind"].get<std::string>();
    if (kind == "parameter" && listed == Listed::kLayers) {
      ++left_out;
      continue;
    }
    const auto extent = [&](const char* key) {
      return kind == "parameter" ? "-" : std::to_string(site[key].get<std::int64_t>());
    };
    const Json& stored = site["stored"];
    rows.push_back({shown(site["name"]), kind, extent("in"), extent("out"),
                    stored.empty() ? "-" : Shape(site["shape"].get<std::vector<std::int64_t>>()).text(),
                    stored.empty() ? "-" : stored[0]["dtype"].get<std::string>()});
  }
  std::string table = text_table(rows);
  if (left_out > 0) table += fmt::format("and {} biases, norms and tables: --all lists them\n", left_out);
  return table;
}

void print_bundle(const Json& bundle, Listed listed, std::ostream& out) {
  for (const Json& model : bundle["models"]) print_model(model, out);
  out << fmt::format("\ndecoder: {} blocks of width {}, MLPs of {}; vocabulary {}\n",
                     bundle["decoder"]["blocks"].get<std::int64_t>(), bundle["decoder"]["width"].get<std::int64_t>(),
                     bundle["decoder"]["hidden"].get<std::int64_t>(), bundle["vocabulary"].get<std::int64_t>());
  out << fmt::format("encoder: {} blocks of width {}; connector: {} layers\n",
                     bundle["encoder"]["blocks"].get<std::int64_t>(), bundle["encoder"]["width"].get<std::int64_t>(),
                     bundle["connector"]["layers"].get<std::int64_t>());
  if (bundle.contains("hash")) out << "model: " << bundle["hash"].get<std::string>() << "\n";
  out << "\n" << sites_table(bundle["sites"], listed);
  for (const Json& branch : bundle["unexplained"])
    out << "no pattern explains " << shown(branch) << "; reach it by node:NAME or init:NAME\n";
}

int inspect(const Arguments& arguments, Console& console) {
  const fs::path path = arguments.path("MODEL");
  const Hashes hashes = arguments.on("hash") ? Hashes::kShow : Hashes::kLeaveOut;
  if (!fs::is_directory(path)) {
    if (arguments.on("check")) throw user_error("--check asks a whole bundle; {} is no folder", path.string());
    const Json model = model_json(OnnxModel::open(path), path.filename().string(), hashes);
    if (arguments.on("json"))
      console.print(model);
    else
      print_model(model, console.out());
    return 0;
  }
  const Bundle bundle = Bundle::open(path);
  Json document = bundle_json(bundle, hashes);
  std::vector<CheckResult> checks;
  if (arguments.on("check")) {
    Session session(session_options(arguments));
    WorkBar bar(console, "check");
    bar.follow(session);
    checks = check_bundle(session, bundle, bar.parts("check"));
    for (const CheckResult& check : checks)
      document["checks"].push_back({{"name", check.name}, {"passed", check.passed}, {"detail", check.detail}});
  }
  if (arguments.on("json")) {
    console.print(document);
  } else {
    print_bundle(document, arguments.on("all") ? Listed::kEverything : Listed::kLayers, console.out());
    if (!checks.empty()) console.out() << "\n";
    for (const CheckResult& check : checks)
      console.out() << fmt::format("{}  {}: {}\n", check.passed ? "passed" : "failed", check.name, check.detail);
  }
  require_checks(checks);
  return 0;
}

}  // namespace

Command inspect_command() {
  return {
      .name = "inspect",
      .summary =
          "Shows what a model holds: graphs, parameters, types, blocks and the sites that can be edited. With --check "
          "asks it the same things in several ways that must agree, and exits 4 if Retune does not read it rightly.",
      .positionals = {{.name = "MODEL", .meaning = "a bundle's folder, or one .onnx file"}},
      .flags =
          {{.name = "check", .type = Flag::Type::kSwitch, .meaning = "ask the bundle whether Retune reads it rightly"},
           {.name = "all", .type = Flag::Type::kSwitch, .meaning = "list every site, biases, norms and tables too"},
           {.name = "hash",
            .type = Flag::Type::kSwitch,
            .meaning = "show SHA-256 of files and graphs, and of the whole model"}},
      .example =
          "retune inspect demo/bundle --check\n\n"
          "decoder: 6 blocks of width 160, MLPs of 448; vocabulary 1024\n...\n"
          "site                      kind   in  out       shape  type\n"
          "decoder.block.0.mlp.down  linear  448  160  [160, 448]   f32\n...\n"
          "passed  prefix and suffix: agree to 2.7e-07 of the range",
      .run = inspect};
}

}  // namespace retune
