#include "editors/mechanisms/codebook_insert.h"

#include <algorithm>
#include <cmath>

#include "lalm/insert_builder.h"
#include "lalm/inserted_bundle.h"

namespace retune {

namespace {

Tensor rows_of(const Codebook& codebook, std::vector<float> CodebookEntry::*member) {
  const auto& entries = codebook.entries();
  Tensor rows = Tensor::empty(DType::kF32, {static_cast<std::int64_t>(entries.size()),
                                            static_cast<std::int64_t>((entries.at(0).*member).size())});
  float* to = rows.mutable_data<float>();
  for (const CodebookEntry& entry : entries) to = std::copy((entry.*member).begin(), (entry.*member).end(), to);
  return rows;
}

Tensor reaches_of(const Codebook& codebook, double slack) {
  std::vector<float> reaches;
  for (const CodebookEntry& entry : codebook.entries()) {
    double squares = 0;
    for (const float item : entry.key) squares += static_cast<double>(item) * static_cast<double>(item);
    reaches.push_back(static_cast<float>(entry.radius + slack * std::sqrt(squares)));
  }
  return Tensor::vector(reaches);
}

}  // namespace

double reach_slack(const Bundle& bundle, const Site& site) {
  const DType type = float_type_of(*bundle.graph(), site.key);
  return type == DType::kBF16 ? 0x1p-6 : type == DType::kF16 ? 0x1p-9 : 1e-5;
}

GraphInsert codebook_insert(const Bundle& bundle, const std::string& name, const Site& site, const Codebook& codebook,
                            ReplacedRows rows) {
  using KeepDims = InsertBuilder::KeepDims;
  InsertBuilder b(bundle, name, site.value);
  const ValueId output = b.tap(site.value);           // [B, T, out]
  const ValueId query = b.last_row(b.tap(site.key));  // [B, 1, in]
  const ValueId keys = b.tensor(rows_of(codebook, &CodebookEntry::key), "keys");
  const ValueId distances = b.l2_norm(b.op("Sub", {query, keys}));  // [B, n, 1]
  const ValueId nearest =
      b.op("ArgMin", {distances}, {{"axis", std::int64_t{1}}, {"keepdims", std::int64_t{1}}});  // [B, 1, 1]
  const ValueId least = b.reduce("ReduceMin", distances, {1}, KeepDims::kYes);                  // [B, 1, 1]
  const ValueId reaches = b.tensor(reaches_of(codebook, reach_slack(bundle, site)), "reaches");
  const ValueId misses = b.op("Greater", {least, b.op("Gather", {reaches, nearest})});
  ValueId acts = b.op("And", {b.op("Not", {misses}), b.is_first_call()});  // [B, 1, 1]
  if (rows != ReplacedRows::kAll) {
    const ValueId last = b.is_last_row(output);  // [T, 1]
    acts = b.op("And", {acts, rows == ReplacedRows::kLast ? last : b.op("Not", {last})});
  }
  const ValueId values = b.tensor(rows_of(codebook, &CodebookEntry::value), "values");
  const ValueId value = b.op("Gather", {values, b.squeeze(nearest, {2})});  // [B, 1, out]
  b.replace(site.value, b.op("Where", {acts, value, output}));
  b.per_call();
  return b.finish();
}

}  // namespace retune
