#include "editors/mend.h"

#include "editors/mechanisms/hyper_editor.h"

namespace retune {

EditingMethod mend_method() {
  EditingMethod method;
  method.info = {"mend",
                 "a trained network edits the factors of the gradient, token by token",
                 "arXiv 2110.11309",
                 "a network of retune train",
                 true,
                 true};
  method.settings = hyper_settings();
  method.make = make_hyper_editor;
  return method;
}

}  // namespace retune
