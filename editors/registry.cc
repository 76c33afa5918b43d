#include "editors/registry.h"

#include "editors/alphaedit.h"
#include "editors/emmet.h"
#include "editors/fine_tuning.h"
#include "editors/grace.h"
#include "editors/in_context.h"
#include "editors/ke.h"
#include "editors/lora.h"
#include "editors/memit.h"
#include "editors/mend.h"
#include "editors/rome.h"
#include "editors/steer.h"
#include "editors/ultraedit.h"
#include "editors/unke.h"
#include "editors/wise.h"
#include "tensor/error.h"
#include "tensor/nearest_word.h"

namespace retune {

const std::vector<EditingMethod>& editing_methods() {
  static const std::vector<EditingMethod> methods = {
      fine_tuning_method(), lora_method(),  rome_method(),  r_rome_method(),   memit_method(), alphaedit_method(),
      emmet_method(),       unke_method(),  ke_method(),    mend_method(),     i_ike_method(), ie_ike_method(),
      wise_method(),        grace_method(), steer_method(), ultraedit_method()};
  return methods;
}

const EditingMethod& editing_method(const std::string& word) {
  std::vector<std::string> words;
  for (const EditingMethod& method : editing_methods()) {
    if (method.info.word == word) return method;
    words.push_back(method.info.word);
  }
  throw user_error("there is no method '{}'; did you mean '{}'? (methods: {})", word, nearest_word(word, words),
                   fmt::join(words, ", "));
}

std::unique_ptr<const Editor> make_editor(const std::string& word, const Settings& given) {
  const EditingMethod& method = editing_method(word);
  return method.make(method.info, resolve_settings(word, method.settings, given));
}

}  // namespace retune
