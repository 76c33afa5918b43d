// What the patches of a stack remember, for methods whose next edit depends on the edits before (decision 5: increments
// ride in Patch::memory, and there is no other state).
#pragma once

#include <string>
#include <vector>

#include "adapters/model_view.h"
#include "adapters/patch.h"

namespace retune {

// What is remembered under `name`, from the bottom patch up; patches that remember nothing of that name give nothing.
std::vector<Tensor> remembered(const ModelView& view, const std::string& name);

// Copies all that the patches of `stack` above the first `beneath` remember into `patch`, which stands for them all:
// remembered() then gives the same tensors in the same order.
void remember_stack(Patch& patch, const ModelView& stack, std::size_t beneath);

}  // namespace retune
