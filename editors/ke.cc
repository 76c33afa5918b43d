#include "editors/ke.h"

#include "editors/mechanisms/hyper_editor.h"

namespace retune {

EditingMethod ke_method() {
  EditingMethod method;
  method.info = {"ke",
                 "a trained network reads the edit, and scales and shifts the gradient of each matrix",
                 "arXiv 2104.08164",
                 "a network of retune train",
                 false,
                 true};
  method.settings = hyper_settings();
  method.make = make_hyper_editor;
  return method;
}

}  // namespace retune
