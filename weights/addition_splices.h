// The splices that put an addition into the bytes of a model file.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "weights/onnx_addition.h"
#include "weights/onnx_contents.h"

namespace retune {

struct AdditionSplices {
  std::vector<Splice> splices;     // views of `copies` and of the addition's tensors, which outlive them
  std::vector<Frame> frames;       // the file's, then those of messages without tensors that grow
  std::deque<std::string> copies;  // bytes that the splices insert
};

// User errors: an addition that names what the file does not have, an initializer of a name that the file has, a file
// of an IR version before 4, whose initializers are inputs too.
AdditionSplices splices_of(const OnnxAddition& addition, const OnnxContents& source);

}  // namespace retune
