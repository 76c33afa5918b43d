#include "editors/mechanisms/key_collector.h"

#include <numeric>
#include <utility>

#include "lalm/answer.h"
#include "tensor/error.h"

namespace retune {

namespace {

std::vector<double> mean_row(const Tensor& tensor, std::int64_t width, const std::vector<std::int64_t>& rows) {
  const Tensor wide = tensor.cast(DType::kF32);
  std::vector<double> mean(static_cast<std::size_t>(width), 0.0);
  for (const std::int64_t row : rows)
    for (std::int64_t i = 0; i < width; ++i)
      mean[static_cast<std::size_t>(i)] += static_cast<double>(wide.data<float>()[row * width + i]);
  for (double& item : mean) item /= static_cast<double>(rows.size());
  return mean;
}

void add_scaled(std::vector<double>& sum, const std::vector<double>& item, double scale) {
  sum.resize(item.size(), 0.0);
  for (std::size_t i = 0; i < item.size(); ++i) sum[i] += scale * item[i];
}

// Where the selector falls; the rows of a value before the prompt are known only when it has been computed.
Placement place(const Bundle& bundle, const Site& site, const Selector& selector, const PromptView& view) {
  if (site.value.empty())
    throw user_error("site '{}' has no value that could be read; choose a linear layer", site.name);
  const bool positions = site_axis(*bundle.graph(), site.value) == SiteAxis::kPositions;
  Placement placement;
  if (positions)
    placement.positions = select_positions(selector, view, bundle.tokenizer());
  else if (view.prompt.audio_rows.empty())
    throw user_error("site '{}' hears, but the question has no clip", site.name);
  placement.cut = cut_before(view.prompt, positions ? placement.positions.front() : view.prompt.audio_rows.front());
  return placement;
}

void ask_for(Request& request, const Site& site) {
  request.outputs = {site.value};
  if (!site.key.empty()) request.outputs.push_back(site.key);
}

enum class Rows { kAll, kChosen };  // that the results hold of a value behind the prompt

// `placement` is of place(), with the cut that was made.
SiteReading reading_of(const Results& results, Rows held, const Site& site, const Selector& selector,
                       const PromptView& view, Placement placement) {
  SiteReading reading;
  const Tensor& value = results[site.value].tensor;
  if (!placement.positions.empty()) {
    for (const std::int64_t position : placement.positions) placement.rows.push_back(position - placement.cut);
  } else {
    const auto slots = static_cast<std::int64_t>(view.prompt.audio_rows.size());
    placement.rows = select_audio_rows(selector, view, value.numel() / site.out);
    for (const std::int64_t row : select_audio_rows(selector, view, slots))
      placement.positions.push_back(view.prompt.audio_rows[static_cast<std::size_t>(row)]);
  }
  std::vector<std::int64_t> rows = placement.rows;
  if (held == Rows::kChosen) std::iota(rows.begin(), rows.end(), 0);
  reading.value = mean_row(value, site.out, rows);
  if (!site.key.empty()) reading.key = mean_row(results[site.key].tensor, site.in, rows);
  reading.placement = std::move(placement);
  return reading;
}

}  // namespace

SiteReading read_site(Session& session, const Bundle& bundle, const Site& site, const Selector& selector,
                      const PromptView& view) {
  Placement placement = place(bundle, site, selector, view);
  SuffixRequest suffix = suffix_request(session, bundle, view.prompt, {}, placement.cut);
  placement.cut = suffix.cut;
  ask_for(suffix.request, site);
  const Results results = session.run(suffix.graph, bundle.parameters(), suffix.request);
  return reading_of(results, Rows::kAll, site, selector, view, std::move(placement));
}

SiteReading read_changing_site(Session& session, const Bundle& bundle, const Site& site, const Selector& selector,
                               const PromptView& view, const std::vector<std::string>& varying) {
  Placement placement = place(bundle, site, selector, view);
  placement.cut = 0;
  SuffixRequest suffix = suffix_request(session, bundle, view.prompt, {}, 0, varying);
  ask_for(suffix.request, site);
  const Rows held = placement.positions.empty() ? Rows::kAll : Rows::kChosen;
  if (held == Rows::kChosen)
    for (const std::string& output : suffix.request.outputs) suffix.request.rows[output] = placement.positions;
  const Results results = session.run(suffix.graph, bundle.parameters(), suffix.request);
  return reading_of(results, held, site, selector, view, std::move(placement));
}

std::vector<SiteReading> read_site(Session& session, const Bundle& bundle, const Site& site, const Selector& selector,
                                   std::span<const ContextView> views) {
  std::vector<SiteReading> readings;
  for (const ContextView& view : views) readings.push_back(read_site(session, bundle, site, selector, view.view));
  return readings;
}

KeyValue mean_of(std::span<const ContextView> views, std::span<const SiteReading> readings) {
  KeyValue mean;
  for (std::size_t i = 0; i < views.size(); ++i) {
    add_scaled(mean.key, readings[i].key, views[i].weight);
    add_scaled(mean.value, readings[i].value, views[i].weight);
  }
  return mean;
}

}  // namespace retune
