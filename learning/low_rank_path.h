// A low-rank path beside a linear layer, as nodes of a graph (LoRA; Hu et al. 2021, arXiv 2106.09685, section 4.1;
// methods.md 5.5):
//
//   y = W x + b + s B A (m o x),   A [r, in], B [out, r], s a scale, m a dropout mask or nothing
//
// A and B are leaves of their own: W + s B A is never made, and a gradient with respect to them costs no product of the
// size of W. What reads the layer's output reads the sum.
//
//   LossGraphs paths = with_low_rank_paths(loss_graphs(bundle), sites, scale, PathDropout::kNone);
//   request.inputs[low_rank_a(site)] = {a, session.fresh_version()};
//   request.inputs[low_rank_b(site)] = {b, session.fresh_version()};
//   request.wrt = {low_rank_a(site), low_rank_b(site)};
#pragma once

#include <string>
#include <vector>

#include "graph/graph.h"
#include "lalm/site.h"
#include "learning/lesson.h"

namespace retune {

// Leaves of a site's path: f32 [r, in], f32 [out, r], and, where there is dropout, f32 of the shape of the site's key,
// whose elements are 0 or 1 / (1 - p).
std::string low_rank_a(const Site& site);
std::string low_rank_b(const Site& site);
std::string low_rank_mask(const Site& site);

enum class PathDropout { kNone, kMasked };

// A copy of a linked graph with a path beside each linear layer of `sites` that it holds: a graph of text has none of
// the encoder's. In a model of 16-bit floats the path computes in f32. User error for a site that is no linear layer.
Graph with_low_rank_paths(const Graph& graph, const std::vector<Site>& sites, double scale, PathDropout dropout);
LossGraphs with_low_rank_paths(const LossGraphs& losses, const std::vector<Site>& sites, double scale,
                               PathDropout dropout);

}  // namespace retune
