#include "cli/work_bar.h"

#include <algorithm>

namespace retune {

WorkBar::WorkBar(Console& console, const std::string& label, Clock clock) : bar_(console, label, std::move(clock)) {}

WorkBar::~WorkBar() {
  if (session_ != nullptr) session_->observe({});
}

void WorkBar::follow(Session& session) {
  session_ = &session;
  session.observe([this](std::int64_t done, std::int64_t total) {
    within_ = static_cast<double>(done) / static_cast<double>(total);
    show();
    if (done < total || !runs_are_parts_) return;
    done_ = std::min(done_ + 1, total_);
    within_ = 0;
  });
}

void WorkBar::expect_runs(std::int64_t runs) { total_ = std::max<std::int64_t>(1, runs); }

WorkObserver WorkBar::parts(const std::string& label) {
  return [this, label](std::int64_t done, std::int64_t total) {
    if (runs_are_parts_ || bar_.label() != label) begin(label);
    done_ = done;
    total_ = std::max<std::int64_t>(1, total);
    within_ = 0;
    show();
  };
}

void WorkBar::begin(const std::string& label) {
  bar_.begin(label);
  runs_are_parts_ = false;
  shown_ = 0;
}

void WorkBar::show() {
  shown_ = std::max(shown_, std::min(1.0, (static_cast<double>(done_) + within_) / static_cast<double>(total_)));
  bar_.update_share(shown_);
}

}  // namespace retune
