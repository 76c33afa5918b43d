// Forward, backward and training steps of the linked graph, as learning/ and training/ ask for them.
#include "bench/lalm/batch.h"

#include "bench/lalm/works.h"
#include "graph/optimizer.h"
#include "lalm/link.h"
#include "learning/answer_loss.h"

namespace retune::bench {

BatchWork forward_work(Session& session, const Bundle& bundle, const Sizes& sizes) {
  BatchWork work{sizes.clips > 0 ? bundle.graph() : bundle.text_graph(), batch_request(session, bundle, sizes)};
  work.request.outputs = {"logits"};
  return work;
}

BatchWork gradient_work(Session& session, const Bundle& bundle, const Sizes& sizes) {
  Graph graph = sizes.clips > 0 ? *bundle.graph() : *bundle.text_graph();
  append_answer_loss(graph);
  BatchWork work{std::make_shared<const Graph>(std::move(graph)), batch_request(session, bundle, sizes)};
  work.request.loss = "loss";
  for (const auto& [name, feed] : bundle.parameters()) {
    const bool table = name.find("embed_positions") != std::string::npos || name.find("inv_freq") != std::string::npos;
    if (table || (sizes.clips == 0 && name.starts_with(kEncoderPrefix))) continue;
    work.request.wrt.push_back(name);
  }
  return work;
}

Measurement forward(const Contender& contender) {
  const Bundle bundle = Bundle::open(contender.folder);
  Session session({.threads = contender.threads});
  const BatchWork work = forward_work(session, bundle, contender.sizes);
  return timed(session, contender.sizes.repeats, [&] { session.run(work.graph, bundle.parameters(), work.request); });
}

Measurement forward_backward(const Contender& contender) {
  const Bundle bundle = Bundle::open(contender.folder);
  Session session({.threads = contender.threads});
  const BatchWork work = gradient_work(session, bundle, contender.sizes);
  return timed(session, contender.sizes.repeats, [&] { session.run(work.graph, bundle.parameters(), work.request); });
}

Measurement train_step(const Contender& contender) {
  const Bundle bundle = Bundle::open(contender.folder);
  Session session({.threads = contender.threads});
  const BatchWork work = gradient_work(session, bundle, contender.sizes);
  Parameters parameters = bundle.parameters();
  std::map<std::string, Tensor> masters;
  for (const std::string& name : work.request.wrt) {
    masters[name] = parameters.at(name).tensor.copy();
    parameters.at(name) = {masters[name], {}};
  }
  Adam adam({.learning_rate = 1e-5, .weight_decay = 0.01});
  return timed(session, contender.sizes.repeats, [&] {
    const Results results = session.run(work.graph, parameters, work.request);
    std::map<std::string, Tensor> gradients;
    for (const std::string& name : work.request.wrt) gradients[name] = results["grad:" + name].tensor;
    clip_global_norm(gradients, 1.0);
    adam.step(masters, gradients, session.pool());
  });
}

}  // namespace retune::bench
