// The operators Retune knows: an explicit table, a line a family.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "graph/op.h"

namespace retune {

class OpRegistry {
 public:
  // Every operator of every family.
  static const OpRegistry& standard();

  // Null if unknown at that version. SimplifiedLayerNormalization and the like are found in "" and in com.microsoft
  // alike.
  const Op* find(std::string_view domain, std::string_view name, int version) const;
  // As find, but a user error that names operator, domain, opset and node.
  const Op& require(const Node& node) const;
  const std::vector<Op>& all() const { return ops_; }

 private:
  explicit OpRegistry(std::vector<Op> ops);

  std::vector<Op> ops_;
  std::unordered_map<std::string, std::vector<const Op*>> by_name_;
};

}  // namespace retune
