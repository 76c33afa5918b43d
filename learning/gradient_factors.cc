#include "learning/gradient_factors.h"

#include <cmath>
#include <set>
#include <string>

#include "lalm/site_axis.h"
#include "tensor/error.h"

namespace retune {

namespace {

std::string delta_name(const Site& site) { return "gradient at " + site.name; }

Tensor matrix(const Tensor& tensor, std::int64_t width) {
  return tensor.cast(DType::kF32).reshaped({tensor.numel() / width, width});
}

void check(std::span<const Site> sites) {
  if (sites.empty()) throw user_error("gradient factors need at least one site");
  std::set<std::string> names;
  for (const Site& site : sites) {
    if (site.kind != Site::Kind::kLinear || site.key.empty() || site.value.empty())
      throw user_error(
          "site '{}' is no linear layer, whose gradient has factors; choose one such as "
          "decoder.block.3.mlp.down",
          site.name);
    if (!names.insert(site.name).second) throw user_error("gradient factors were asked for site '{}' twice", site.name);
  }
}

// How many rows each site has in the request.
std::vector<std::int64_t> rows_of(Session& session, const Bundle& bundle, std::span<const Site> sites,
                                  const Lesson& lesson, const SuffixRequest& suffix) {
  std::vector<std::int64_t> rows;
  Request keys = suffix.request;
  for (const Site& site : sites) {
    const bool hears = site_axis(*bundle.graph(), site.value) == SiteAxis::kAudio;
    rows.push_back(hears ? 0 : suffix.request.inputs.at("input_ids").tensor.numel());
    if (!hears) continue;
    if (lesson.prompt.audio_rows.empty())
      throw user_error("site '{}' is in the audio encoder or connector, but the question has no clip", site.name);
    keys.outputs.push_back(site.key);
  }
  if (keys.outputs.empty()) return rows;
  const Results results = session.run(suffix.graph, bundle.parameters(), keys);
  for (std::size_t i = 0; i < sites.size(); ++i)
    if (rows[i] == 0) rows[i] = results[sites[i].key].tensor.numel() / sites[i].in;
  return rows;
}

}  // namespace

FactorReading gradient_factors(Session& session, const Bundle& bundle, const LossGraphs& losses,
                               std::span<const Site> sites, const Lesson& lesson) {
  check(sites);
  SuffixRequest suffix = lesson_request(session, bundle, losses, lesson, 0);
  const std::vector<std::int64_t> rows = rows_of(session, bundle, sites, lesson, suffix);
  // What is added to y is a leaf of its own: its gradient is dL/dy, and adding zeros changes nothing.
  Request& request = suffix.request;
  request.outputs = {kLessonLoss};
  request.loss = kLessonLoss;
  std::set<std::string> asked;
  for (std::size_t i = 0; i < sites.size(); ++i) {
    const std::string name = delta_name(sites[i]);
    request.interventions.push_back(
        {name, sites[i].value, Intervention::Kind::kAdd, {}, Tensor::zeros(DType::kF32, {rows[i], sites[i].out})});
    request.wrt.push_back(name);
    request.varying.push_back(name);
    if (asked.insert(sites[i].key).second) request.outputs.push_back(sites[i].key);
  }
  const Results results = session.run(suffix.graph, bundle.parameters(), request);
  FactorReading reading{static_cast<double>(results[kLessonLoss].tensor.cast(DType::kF32).data<float>()[0]), {}};
  if (!std::isfinite(reading.loss)) throw failure("gradient factors: the loss of the lesson is not finite");
  for (const Site& site : sites)
    reading.factors.push_back(
        {matrix(results[site.key].tensor, site.in), matrix(results["grad:" + delta_name(site)].tensor, site.out)});
  return reading;
}

}  // namespace retune
