#include "training/hyper_trainer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "adapters/tensor_file.h"
#include "graph/optimizer.h"
#include "learning/site_weight.h"
#include "tensor/error.h"
#include "tensor/staged_output.h"

namespace retune {

namespace {

using Tensors = std::map<std::string, Tensor>;

std::unique_ptr<HyperNetwork> untrained(HyperTask& task, const HyperTrainingOptions& options) {
  const HyperNetworkKind* kind = find_hyper_network_kind(options.kind);
  return kind->make(kind->initial(
      options.network, hyper_sites(task.sites), [&] { return token_embeddings(task.session, task.base); },
      Rng(options.seed).fork("weights")));
}

// Whichever the kind of network is trained with.
class Optimizer {
 public:
  explicit Optimizer(HyperNetworkKind::Optimizer kind) : kind_(kind), adam_(AdamOptions{}) {}

  void step(HyperNetwork& network, const Tensors& gradients, double rate, ThreadPool& pool) {
    std::map<double, Tensors> by_rate;
    for (const auto& [name, gradient] : gradients) by_rate[network.rate_of(name, rate)][name] = gradient;
    for (const auto& [own, some] : by_rate) {
      if (kind_ == HyperNetworkKind::Optimizer::kAdam)
        adam_.step(network.parameters(), some, own, pool);
      else
        rms_prop_.step(network.parameters(), some, own, pool);
    }
  }

  void save(Tensors& tensors) const {
    for (const auto& [name, square] : rms_prop_.squares()) tensors["square:" + name] = square;
    for (const auto& [name, moments] : adam_.moments()) {
      tensors["first:" + name] = moments.first;
      tensors["second:" + name] = moments.second;
      tensors["steps:" + name] = Tensor::scalar(moments.steps);
    }
  }

  void restore(const Tensors& tensors) {
    Tensors squares;
    std::map<std::string, Adam::Moments> moments;
    for (const auto& [name, tensor] : tensors) {
      if (name.starts_with("square:")) squares[name.substr(7)] = tensor.copy();
      if (name.starts_with("first:")) moments[name.substr(6)].first = tensor.copy();
      if (name.starts_with("second:")) moments[name.substr(7)].second = tensor.copy();
      if (name.starts_with("steps:")) moments[name.substr(6)].steps = tensor.to_i64()[0];
    }
    rms_prop_.restore(std::move(squares));
    adam_.restore(std::move(moments));
  }

 private:
  HyperNetworkKind::Optimizer kind_;
  Adam adam_;
  RmsProp rms_prop_;
};

void add(Tensors& sums, const Tensors& more) {
  for (const auto& [name, tensor] : more) {
    const auto [it, first] = sums.emplace(name, tensor);
    if (first) {
      it->second = tensor.copy();
      continue;
    }
    float* to = it->second.mutable_data<float>();
    for (std::int64_t i = 0; i < tensor.numel(); ++i) to[i] += tensor.data<float>()[i];
  }
}

ContentHash facts_hash(const FactSet& facts) {
  Hasher hasher;
  std::map<std::string, ContentHash> clips;
  const auto clip = [&](const Clip& one) {
    const auto [it, added] = clips.try_emplace(one.name());
    if (added) it->second = one.hash();
    hasher.add(one.name()).add(it->second);
  };
  for (const Fact& fact : facts.facts()) {
    hasher.add(fact.request.id).add(fact.request.question).add(fact.request.new_label);
    if (!(fact.request.clip == Clip())) clip(fact.request.clip);
    for (const Probe& probe : fact.probes) {
      hasher.add(kind_name(probe.kind)).add(probe.question).add(probe.answer);
      if (probe.clip) clip(*probe.clip);
    }
  }
  return hasher.finish();
}

ContentHash settings_hash(const HyperTask& task, const HyperTrainingOptions& o) {
  Hasher hasher;
  hasher.add(o.kind).add(static_cast<std::int64_t>(o.seed)).add(o.steps).add(o.accumulate).add(o.validate_every);
  for (const auto& [name, value] : o.network) hasher.add(name).add(fmt::format("{}", value));
  hasher.add(fmt::format("{} {} {} {}", o.learning_rate, o.clip_norm, o.loss.edit_weight, o.loss.locality_weight));
  hasher.add(static_cast<std::int64_t>(o.loss.locality));
  for (const Site& site : task.sites) hasher.add(site.name);
  return hasher.finish();
}

bool has(const FactSet& facts, bool locality) {
  for (const Fact& fact : facts.facts())
    for (const Probe& probe : fact.probes)
      if (locality ? is_locality(probe) : probe.kind == ProbeKind::kGenerality) return true;
  return false;
}

class Trainer {
 public:
  Trainer(HyperTask& task, const FactSet& train, const FactSet& validation, const HyperTrainingOptions& options,
          std::filesystem::path work, const HyperObserver& observer)
      : task_(task),
        train_(train),
        validation_(validation),
        options_(options),
        work_(std::move(work)),
        observer_(observer),
        network_(untrained(task, options)),
        optimizer_(find_hyper_network_kind(options.kind)->optimizer),
        facts_(facts_hash(train)),
        settings_(settings_hash(task, options)) {
    Hasher hasher;
    identity_ = hasher.add(task.base.hash()).add(facts_).add(facts_hash(validation)).add(settings_).finish();
  }

  HyperTrainingResult run() {
    if (!work_.empty()) {
      std::filesystem::create_directories(work_);
      restore();
    }
    while (done_ < options_.steps) {
      if (done_ > 0 && done_ % options_.validate_every == 0) validate_once();
      step();
    }
    validate_once();
    if (!work_.empty()) save();
    return {
        {options_.kind, task_.base.hash(), facts_, settings_, options_.steps * options_.accumulate, network_->state()},
        validations_};
  }

 private:
  const Fact& fact_at(std::int64_t edit) const {
    const auto count = static_cast<std::int64_t>(train_.facts().size());
    std::vector<std::size_t> order(train_.facts().size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    Rng(options_.seed).fork("order", static_cast<std::uint64_t>(edit / count)).shuffle(order);
    return train_.facts()[order[static_cast<std::size_t>(edit % count)]];
  }

  void step() {
    Tensors gradients;
    double edit_loss = 0, locality_loss = 0;
    const double share = 1.0 / static_cast<double>(options_.accumulate);
    for (std::int64_t i = 0; i < options_.accumulate; ++i) {
      const Fact& fact = fact_at(done_ * options_.accumulate + i);
      const EditSignal signal = request_signal(task_, fact.request);
      network_->observe(signal);
      const HyperGradient one = hyper_gradient(task_, *network_, signal, fact, options_.loss);
      edit_loss += share * one.edit_loss;
      locality_loss += share * one.locality_loss;
      add(gradients, one.gradients);
    }
    for (auto& [name, gradient] : gradients)
      for (float& value : std::span(gradient.mutable_data<float>(), static_cast<std::size_t>(gradient.numel())))
        value *= static_cast<float>(share);
    const double loss = options_.loss.edit_weight * edit_loss + options_.loss.locality_weight * locality_loss;
    const double norm = clip_global_norm(gradients, options_.clip_norm);
    if (!std::isfinite(loss) || !std::isfinite(norm))
      throw failure("training diverged at step {}: the loss is {}, its gradient's norm {}; lower learning_rate",
                    done_ + 1, loss, norm);
    optimizer_.step(*network_, gradients, options_.learning_rate, task_.session.pool());
    ++done_;
    curve_ += fmt::format(
        "{{\"step\":{},\"loss\":{:.6g},\"edit_loss\":{:.6g},\"locality_loss\":{:.6g},\"gradient\":{:.6g}}}\n", done_,
        loss, edit_loss, locality_loss, norm);
    tell({"train", done_, options_.steps, loss});
    if (!work_.empty() && done_ % options_.checkpoint_every == 0) save();
  }

  // Of the step that is done, if it was not before a pause.
  void validate_once() {
    if (!validations_.empty() && validations_.back().step == done_) return;
    HyperValidation result{done_};
    const auto total = static_cast<std::int64_t>(validation_.facts().size());
    Score reliability, generality, audio, text;
    for (std::int64_t i = 0; i < total; ++i) {
      const Fact& fact = validation_.facts()[static_cast<std::size_t>(i)];
      const EditSignal signal = request_signal(task_, fact.request);
      const Bundle edited = edited_by(task_, *network_, signal);
      reliability.count(answers_so(task_, edited, item_of(fact.request)));
      for (const Probe& probe : fact.probes) {
        if (probe.kind == ProbeKind::kGenerality) generality.count(answers_so(task_, edited, item_of(probe)));
        if (!is_locality(probe)) continue;
        (probe.kind == ProbeKind::kTextLocality ? text : audio).count(answers_as_before(task_, edited, item_of(probe)));
      }
      tell({"validate", i + 1, total, 0});
    }
    result.reliability = reliability.share();
    result.generality = generality.share();
    result.audio_locality = audio.share();
    result.text_locality = text.share();
    validations_.push_back(result);
    curve_ += fmt::format(
        "{{\"step\":{},\"reliability\":{:.6g},\"generality\":{:.6g},\"audio_locality\":{:.6g},\"text_locality\":{:.6g}}"
        "}"
        "\n",
        done_, result.reliability, result.generality, result.audio_locality, result.text_locality);
    if (observer_.validated) observer_.validated(result);
  }

  struct Score {
    std::int64_t right = 0, all = 0;
    void count(bool is_right) {
      right += is_right ? 1 : 0;
      ++all;
    }
    double share() const { return all == 0 ? -1 : static_cast<double>(right) / static_cast<double>(all); }
  };

  void tell(const HyperProgress& progress) {
    if (!observer_.progress || observer_.progress(progress)) return;
    if (!work_.empty()) save();
    throw Error(ErrorCode::kInterrupted, fmt::format("stopped at step {}; run the same command again to go on", done_));
  }

  void save() const {
    Tensors tensors;
    for (const auto& [name, tensor] : network_->state().parameters) tensors["parameter:" + name] = tensor;
    for (const auto& [name, tensor] : network_->state().statistics) tensors["statistic:" + name] = tensor;
    optimizer_.save(tensors);
    std::vector<double> validations;
    for (const HyperValidation& v : validations_)
      validations.insert(validations.end(),
                         {static_cast<double>(v.step), v.reliability, v.generality, v.audio_locality, v.text_locality});
    if (!validations.empty()) tensors["validations"] = Tensor::vector(validations);
    const std::string identity = identity_.hex();
    tensors["done"] = Tensor::scalar(done_);
    tensors["identity"] = Tensor::vector<std::uint8_t>({identity.begin(), identity.end()});
    if (!curve_.empty()) tensors["curve"] = Tensor::vector<std::uint8_t>({curve_.begin(), curve_.end()});
    write_tensors(work_ / "checkpoint.h5", tensors);
    write_file_atomically(work_ / "loss.jsonl", curve_);
  }

  void restore() {
    const std::filesystem::path path = work_ / "checkpoint.h5";
    if (!std::filesystem::exists(path)) return;
    const Tensors tensors = read_tensors(path);
    const auto text = [&](const char* name) {
      const auto found = tensors.find(name);
      if (found == tensors.end()) return std::string();
      const auto values = found->second.values<std::uint8_t>();
      return std::string(values.begin(), values.end());
    };
    if (text("identity") != identity_.hex())
      throw user_error("{} belongs to other options, another model or other facts; remove {} to start again",
                       path.string(), work_.string());
    HyperState state = network_->state();
    for (auto& [name, tensor] : state.parameters) tensor = tensors.at("parameter:" + name).copy();
    for (auto& [name, tensor] : state.statistics) tensor = tensors.at("statistic:" + name).copy();
    network_ = find_hyper_network_kind(options_.kind)->make(std::move(state));
    optimizer_.restore(tensors);
    if (const auto found = tensors.find("validations"); found != tensors.end())
      for (std::int64_t i = 0; i < found->second.numel(); i += 5) {
        const double* v = found->second.data<double>() + i;
        validations_.push_back({static_cast<std::int64_t>(v[0]), v[1], v[2], v[3], v[4]});
      }
    done_ = tensors.at("done").to_i64()[0];
    curve_ = text("curve");
  }

  HyperTask& task_;
  const FactSet& train_;
  const FactSet& validation_;
  const HyperTrainingOptions& options_;
  std::filesystem::path work_;
  const HyperObserver& observer_;
  std::unique_ptr<HyperNetwork> network_;
  Optimizer optimizer_;
  ContentHash facts_, settings_, identity_;
  std::vector<HyperValidation> validations_;
  std::int64_t done_ = 0;  // steps
  std::string curve_;
};

}  // namespace

void HyperTrainingOptions::validate() const {
  const HyperNetworkKind* known = find_hyper_network_kind(kind);
  if (known == nullptr) throw user_error("train: there is no hyper-network '{}'", kind);
  for (const HyperOption& option : known->options)
    if (!network.contains(option.name)) throw user_error("train: {} needs its option '{}'", kind, option.name);
  if (steps < 0) throw user_error("train: steps must not be negative, got {}", steps);
  for (const auto& [name, value] : {std::pair{"accumulate", accumulate},
                                    {"validate_every", validate_every},
                                    {"checkpoint_every", checkpoint_every}})
    if (value < 1) throw user_error("train: {} must be at least 1, got {}", name, value);
  for (const auto& [name, value] : {std::pair{"learning_rate", learning_rate},
                                    {"edit_weight", loss.edit_weight},
                                    {"locality_weight", loss.locality_weight}})
    if (!(value >= 0) || !std::isfinite(value))
      throw user_error("train: {} must be finite and not negative, got {}", name, value);
  if (!(clip_norm > 0)) throw user_error("train: clip_norm must be positive, got {}", clip_norm);
}

HyperTrainingResult train_hyper_network(HyperTask& task, const FactSet& train, const FactSet& validation,
                                        const HyperTrainingOptions& options, const std::filesystem::path& work,
                                        const HyperObserver& observer) {
  options.validate();
  if (train.facts().empty()) throw user_error("there are no facts to train on");
  for (const bool locality : {false, true})
    if (!has(train, locality))
      throw user_error("the facts to train on have no {} items; a hyper-network learns from them",
                       locality ? "locality" : "generality");
  return Trainer(task, train, validation, options, work, observer).run();
}

}  // namespace retune
