#include "editors/mechanisms/moment_source.h"

#include <filesystem>
#include <utility>

#include "tensor/error.h"

namespace retune {

namespace {

std::string source_of(const Settings& settings) { return settings.at("second_moment").get<std::string>(); }

std::filesystem::path file_of(const std::filesystem::path& source, const Site& site) {
  return std::filesystem::is_directory(source) ? source / (site.name + ".h5") : source;
}

SecondMoments read_moments(const Bundle& bundle, std::span<const Site> sites, const std::string& source,
                           const std::string& method) {
  if (sites.size() > 1 && !std::filesystem::is_directory(source))
    throw user_error(
        "{}: second_moment '{}' is one file, the edit has {} sites; give the folder that retune stats wrote for them "
        "all",
        method, source, sites.size());
  SecondMoments moments;
  for (const Site& site : sites) {
    SecondMoment moment = SecondMoment::load(file_of(source, site));
    check_belongs(moment, bundle, site);
    moments.emplace(site.name, std::move(moment));
  }
  return moments;
}

}  // namespace

std::vector<Setting> moment_settings(const std::string& default_source) {
  return {
      {"second_moment",
       Setting::Type::kText,
       default_source,
       {},
       {},
       {},
       "what keys to leave alone: 'identity' (none), 'corpus' (measured on the recipe's corpus), or a file of "
       "retune stats; a folder of them for several sites"},
      {"second_moment_classes",
       Setting::Type::kTexts,
       Settings::array(),
       {},
       {},
       {"text", "audio_slot", "template", "answer"},
       "classes of tokens that count in it; none given: all"},
      {"ridge", Setting::Type::kNumber, 1e-6, 0, 1e-2, {}, "regularisation of the second moment, in mean eigenvalues"}};
}

SecondMoments prepare_moments(Session& session, const Bundle& bundle, std::span<const Site> sites, const Corpus* corpus,
                              const std::string& method, const Settings& settings, const StepObserver& observer) {
  const std::string source = source_of(settings);
  if (source == "identity") return {};
  if (source != "corpus") return read_moments(bundle, sites, source, method);
  if (!corpus)
    throw user_error("{}: second_moment 'corpus' needs a corpus; give one, a file of retune stats, or 'identity'",
                     method);
  SecondMoments moments;
  for (SecondMoment& moment : measure_second_moments(session, bundle, sites, *corpus, {}, observer))
    moments.emplace(moment.identity.site, std::move(moment));
  return moments;
}

Matrix moment_matrix(const SecondMoments& moments, const Site& site, const std::string& method,
                     const Settings& settings) {
  const auto moment = moments.find(site.name);
  if (moment == moments.end())
    throw user_error("{}: prepare() was not asked for the second moment of '{}'", method, site.name);
  std::vector<TokenClass> classes;
  for (const std::string& name : texts_of(settings, "second_moment_classes"))
    classes.push_back(token_class_from_name(name));
  return {site.in, site.in, moment->second.matrix(classes)};
}

PreservedKeys PreservedKeys::of(const SecondMoments& moments, const Site& site, const std::string& method,
                                const Settings& settings, double alike) {
  if (source_of(settings) == "identity") return PreservedKeys::alike(site.in, alike);
  return {moment_matrix(moments, site, method, settings), settings.at("ridge").get<double>(), site.name};
}

PreservedKeys PreservedKeys::alike(std::int64_t width, double scale) {
  PreservedKeys preserved;
  preserved.width_ = width;
  preserved.alike_ = scale;
  return preserved;
}

PreservedKeys::PreservedKeys(const Matrix& c, double ridge, const std::string& site)
    : width_(c.rows), ridged_(ridged(c.values, c.rows, ridge)) {
  if (!ridged_)
    throw failure(
        "the second moment of '{}' (width {}, trace {:.3g}) is singular even with a ridge of 1e-2; measure it on more "
        "text and sound, ten tokens for each of its columns at least",
        site, width_, trace(c));
}

Matrix PreservedKeys::solve(const Matrix& b) const {
  if (!ridged_) return scaled(b, 1 / alike_);
  return {b.rows, b.columns, ridged_->factor.solve(b.values, b.columns)};
}

Matrix PreservedKeys::matrix() const {
  if (!ridged_) return scaled(Matrix::identity(width_), alike_);
  return {width_, width_, ridged_->matrix};
}

}  // namespace retune
