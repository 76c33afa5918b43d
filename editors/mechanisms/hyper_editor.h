// The editor that every hyper-network is: a trained network (learning/hyper_network.h) is told the gradient of the
// request's loss and says how the weights change. One forward and one backward pass an edit, no optimisation.
//
//   method.settings = hyper_settings();
//   method.make = make_hyper_editor;        // the network must be of the kind that the method's word names
#pragma once

#include <memory>
#include <vector>

#include "editors/editor.h"

namespace retune {

// "network", the file of retune train, and "strength". A network of another kind or for another model, and none where
// there are requests, are user errors.
std::vector<Setting> hyper_settings();
std::unique_ptr<const Editor> make_hyper_editor(const EditorInfo& info, Settings settings);

}  // namespace retune
