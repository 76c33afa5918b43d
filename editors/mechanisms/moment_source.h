// Which keys a closed-form edit must leave alone: the settings that say where a site's second moment comes from, and
// its use, C^-1 times something.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "editors/mechanisms/second_moment.h"
#include "editors/settings.h"
#include "tensor/linear_algebra.h"
#include "tensor/matrix.h"

namespace retune {

using SecondMoments = std::map<std::string, SecondMoment>;  // by canonical site name

// second_moment ('identity', 'corpus', a file, or a folder that has SITE.h5 for each site), second_moment_classes,
// ridge.
std::vector<Setting> moment_settings(const std::string& default_source);

// The second moments that the settings ask for: none ('identity'), measured on the corpus in one pass over it, or read
// and checked to belong to model and sites. User errors: 'corpus' without a corpus, a file for several sites, files
// that do not belong here.
SecondMoments prepare_moments(Session& session, const Bundle& bundle, std::span<const Site> sites, const Corpus* corpus,
                              const std::string& method, const Settings& settings, const StepObserver& observer);

// C of the classes that the settings name, [in, in], without a ridge. User error if prepare_moments() was not asked.
Matrix moment_matrix(const SecondMoments& moments, const Site& site, const std::string& method,
                     const Settings& settings);

// C + rho tr(C)/k I of a site, positive definite; or, where keys are alike in all directions, a multiple of the
// identity.
class PreservedKeys {
 public:
  // With second_moment 'identity' C is `alike` times the identity. Failure naming the site, with what to do, if no
  // ridge up to 1e-2 makes C positive definite (methods.md section 4).
  static PreservedKeys of(const SecondMoments& moments, const Site& site, const std::string& method,
                          const Settings& settings, double alike = 1);
  static PreservedKeys alike(std::int64_t width, double scale);  // scale I
  // Of a given C; failure as above.
  PreservedKeys(const Matrix& c, double ridge, const std::string& site);

  Matrix solve(const Matrix& b) const;  // C^-1 B, [k, columns]
  Matrix matrix() const;                // [k, k]

 private:
  PreservedKeys() = default;
  std::int64_t width_ = 0;
  double alike_ = 1;
  std::optional<Ridged> ridged_;
};

}  // namespace retune
