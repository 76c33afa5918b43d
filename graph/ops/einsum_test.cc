#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "graph/op_case.h"

namespace retune {
namespace {

// The definition: for every assignment of the letters, the product of the operands' elements is added to the result's.
// Terms without ellipses; an extent of 1 broadcasts.
Tensor define(const std::vector<std::string>& terms, const std::string& result, const std::vector<Tensor>& in) {
  std::map<char, std::int64_t> extents;
  for (std::size_t i = 0; i < terms.size(); ++i)
    for (std::size_t axis = 0; axis < terms[i].size(); ++axis) {
      const std::int64_t own = in[i].shape()[static_cast<int>(axis)];
      std::int64_t& extent = extents.emplace(terms[i][axis], 1).first->second;
      if (own != 1) extent = own;
    }
  std::vector<std::int64_t> shape;
  for (const char letter : result) shape.push_back(extents.at(letter));
  Tensor y = Tensor::zeros(DType::kF64, Shape(shape));
  std::int64_t total = 1;
  for (const auto& [letter, extent] : extents) total *= extent;
  for (std::int64_t i = 0; i < total; ++i) {
    std::map<char, std::int64_t> at;
    std::int64_t rest = i;
    for (const auto& [letter, extent] : extents) {
      at[letter] = rest % extent;
      rest /= extent;
    }
    double product = 1;
    for (std::size_t k = 0; k < terms.size(); ++k) {
      std::int64_t element = 0;
      for (std::size_t axis = 0; axis < terms[k].size(); ++axis) {
        const std::int64_t extent = in[k].shape()[static_cast<int>(axis)];
        element = element * extent + (extent == 1 ? 0 : at[terms[k][axis]]);
      }
      product *= in[k].data<double>()[element];
    }
    std::int64_t element = 0;
    for (const char letter : result) element = element * extents.at(letter) + at[letter];
    y.mutable_data<double>()[element] += product;
  }
  return y;
}

void sums(const std::string& equation, const std::vector<std::string>& terms, const std::string& result,
          const std::vector<Shape>& shapes) {
  std::vector<Tensor> inputs;
  std::vector<int> gradients;
  for (const Shape& shape : shapes) {
    gradients.push_back(static_cast<int>(inputs.size()));
    inputs.push_back(random_f64(shape, inputs.size() + 1));
  }
  check({.op = "Einsum",
         .inputs = inputs,
         .attributes = {{"equation", equation}},
         .reference = [=](const std::vector<Tensor>& in) { return std::vector<Tensor>{define(terms, result, in)}; },
         .gradients = gradients});
}

TEST(Einsum, OfOneOperand) {
  sums("ij->ji", {"ij"}, "ji", {{2, 3}});
  sums("ij -> i", {"ij"}, "i", {{2, 3}});
  sums("ijk->", {"ijk"}, "", {{2, 3, 4}});
  sums("ba", {"ba"}, "ab", {{2, 3}});  // an implied result is in alphabetical order
  sums("ii", {"ii"}, "", {{3, 3}});
  sums("bii->bi", {"bii"}, "bi", {{2, 3, 3}});
  sums("iji->ji", {"iji"}, "ji", {{3, 2, 3}});
  sums("iii->i", {"iii"}, "i", {{3, 3, 3}});
  sums("->", {""}, "", {{}});
  sums("...ii->...i", {"xyii"}, "xyi", {{2, 2, 3, 3}});
  sums("ij->ij", {"ij"}, "ij", {{0, 3}});
}

TEST(Einsum, OfTwoOperandsIsAProduct) {
  sums("ij,jk->ik", {"ij", "jk"}, "ik", {{2, 3}, {3, 4}});
  sums("ij,jk", {"ij", "jk"}, "ik", {{2, 3}, {3, 4}});
  sums("bij,bjk->bik", {"bij", "bjk"}, "bik", {{2, 3, 4}, {2, 4, 5}});
  sums("bij,bkj->kbi", {"bij", "bkj"}, "kbi", {{2, 3, 4}, {2, 5, 4}});
  sums("i,i", {"i", "i"}, "", {{5}, {5}});
  sums("i,j->ij", {"i", "j"}, "ij", {{3}, {4}});
  sums("i,j->j", {"i", "j"}, "j", {{3}, {4}});
  sums(",i->i", {"", "i"}, "i", {{}, {4}});
  sums("bhid,bhjd->bhij", {"bhid", "bhjd"}, "bhij", {{2, 2, 3, 4}, {2, 2, 5, 4}});
  sums("ji,jk->ik", {"ji", "jk"}, "ik", {{3, 2}, {3, 4}});
  sums("bji,bkj->bik", {"bji", "bkj"}, "bik", {{2, 3, 2}, {2, 4, 3}});
  sums("ij,jk->ik", {"ij", "jk"}, "ik", {{2, 0}, {0, 4}});
  sums("ij,ij->ij", {"ij", "ij"}, "ij", {{2, 3}, {2, 1}});
  sums("ij,j->", {"ij", "j"}, "", {{2, 1}, {3}});
  sums("ii,ij->j", {"ii", "ij"}, "j", {{3, 3}, {3, 2}});
}

TEST(Einsum, AnEllipsisBroadcasts) {
  sums("...ij,...jk->...ik", {"xyij", "yjk"}, "xyik", {{2, 3, 2, 4}, {3, 4, 2}});
  sums("...ij,...jk", {"xij", "xjk"}, "xik", {{2, 2, 4}, {1, 4, 2}});
  sums("i...,...j->ij...", {"ix", "xj"}, "ijx", {{2, 3}, {3, 4}});
  sums("...i,i->...", {"xyi", "i"}, "xy", {{2, 3, 4}, {4}});
}

TEST(Einsum, OfThreeAndMoreOperands) {
  sums("ij,jk,kl->il", {"ij", "jk", "kl"}, "il", {{2, 3}, {3, 4}, {4, 2}});
  sums("i,ij,j->", {"i", "ij", "j"}, "", {{2}, {2, 3}, {3}});
  sums("ai,bi,ci,i->abc", {"ai", "bi", "ci", "i"}, "abc", {{2, 3}, {2, 3}, {2, 3}, {3}});
}

}  // namespace
}  // namespace retune
