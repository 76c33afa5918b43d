#include "editors/mechanisms/codebook.h"

#include <algorithm>
#include <cmath>

namespace retune {

namespace {

constexpr double kSplitMargin = 1e-5;  // of the reference, so that the two halves do not touch

template <class A, class B>
double apart(const A& a, const B& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += difference * difference;
  }
  return std::sqrt(sum);
}

double length(const std::vector<float>& key) { return apart(key, std::vector<float>(key.size(), 0.0F)); }

}  // namespace

std::optional<Codebook::Near> Codebook::nearest(std::span<const double> query) const {
  std::optional<Near> found;
  for (std::size_t i = 0; i < entries_.size(); ++i)
    if (const double d = apart(query, entries_[i].key); !found || d < found->distance) found = Near{i, d};
  return found;
}

std::optional<std::size_t> Codebook::find(std::span<const double> query, double slack) const {
  const auto near = nearest(query);
  if (!near) return std::nullopt;
  const CodebookEntry& entry = entries_[near->entry];
  return near->distance <= entry.radius + slack * length(entry.key) ? std::optional(near->entry) : std::nullopt;
}

// Half the distance to the nearest key of another label.
double Codebook::room_of(const CodebookEntry& entry) const {
  double least = std::numeric_limits<double>::infinity();
  for (const CodebookEntry& other : entries_)
    if (other.label != entry.label) least = std::min(least, apart(other.key, entry.key));
  return least / 2;
}

// The cap, for an entry that is new or has changed and for those around it.
void Codebook::make_room(std::size_t entry, const CodebookRules& rules) {
  if (!rules.capped) return;
  CodebookEntry& changed = entries_[entry];
  for (CodebookEntry& other : entries_) {
    if (other.label == changed.label) continue;
    const double half = apart(other.key, changed.key) / 2;
    other.radius = std::min(other.radius, half);
    changed.radius = std::min(changed.radius, half);
  }
}

Placing Codebook::add(std::span<const double> query, const std::vector<std::int64_t>& label, double radius,
                      const CodebookRules& rules) {
  entries_.push_back({std::vector<float>(query.begin(), query.end()), {}, radius, label});
  make_room(entries_.size() - 1, rules);
  return {.kind = Placing::Kind::kAdded, .entry = entries_.size() - 1};
}

// Whether the entry reaches the query now. Under the cap it may not be able to.
bool Codebook::grow(std::size_t entry, std::span<const double> query, const CodebookRules& rules) {
  CodebookEntry grown = entries_[entry];
  grown.radius = apart(query, grown.key);
  double needed = grown.radius;
  if (rules.growth == CodebookRules::Growth::kMovingAverage) {
    for (std::size_t i = 0; i < grown.key.size(); ++i)
      grown.key[i] = static_cast<float>((static_cast<double>(grown.key[i]) + query[i]) / 2);
    needed = std::max(apart(query, grown.key), apart(entries_[entry].key, grown.key));
  }
  if (rules.capped && room_of(grown) < needed) return false;
  entries_[entry] = std::move(grown);
  make_room(entry, rules);
  return true;
}

Placing Codebook::place(std::span<const double> query, const std::vector<std::int64_t>& label,
                        const CodebookRules& rules) {
  const auto near = nearest(query);
  if (!near) return add(query, label, rules.radius, rules);
  Placing placing{Placing::Kind::kCovered, near->entry, near->distance};
  CodebookEntry& entry = entries_[near->entry];
  const double d = near->distance;
  if (d > rules.radius + entry.radius) {
    placing = add(query, label, rules.radius, rules);
  } else if (entry.label != label && d == 0) {
    entry.label = label;
    entry.value.clear();
    make_room(near->entry, rules);
    placing.kind = Placing::Kind::kReplaced;
  } else if (entry.label != label) {
    entry.radius = std::max(0.0, d / 2 - kSplitMargin);
    const std::size_t split = near->entry;
    placing = add(query, label, d / 2, rules);
    make_room(split, rules);
    placing.kind = Placing::Kind::kSplit;
  } else if (d > entry.radius) {
    if (grow(near->entry, query, rules))
      placing.kind = Placing::Kind::kGrown;
    else
      placing = add(query, label, rules.radius, rules);
  }
  placing.distance = d;
  return placing;
}

void Codebook::set_value(std::size_t entry, std::span<const double> value) {
  entries_.at(entry).value.assign(value.begin(), value.end());
}

Codebook Codebook::without(std::size_t entry) const {
  Codebook rest = *this;
  rest.entries_.erase(rest.entries_.begin() + static_cast<std::ptrdiff_t>(entry));
  return rest;
}

}  // namespace retune
