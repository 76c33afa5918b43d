// Uses the installed package as a stranger would: makes a tensor, hashes it, and reports a user's error.
#include <cstdio>
#include <string>

#include "tensor/content_hash.h"
#include "tensor/error.h"
#include "tensor/tensor.h"

int main() {
  const auto x = retune::Tensor::of<float>({2, 2}, {1, 2, 3, 4});
  const auto row = x.rows(1, 1);
  if (row.values<float>()[1] != 4) return 1;
  // FIPS 180-2, appendix B.1.
  if (retune::ContentHash::of(std::string_view("abc")).hex() !=
      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad") {
    return 1;
  }
  try {
    x.reshaped({3});
    return 1;
  } catch (const retune::Error& error) {
    if (error.code() != retune::ErrorCode::kUser) return 1;
  }
  std::puts("consumer: ok");
  return 0;
}
