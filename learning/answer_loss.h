// Losses on the logits, as graph nodes behind them.
//
// Teacher forcing (methods.md 1.2):
//   loss = sum_i w_i * -log softmax(logits[row_i])[label_i]
// With w_i = 1/T the mean over the T target tokens of one answer, EOS included.
//
// Divergence from a reference, current distribution first (methods.md 5.6):
//   divergence = 1/K sum_k KL(softmax(logits[row_k]) || exp(reference_k))
// Retention of a reference, the reference first (methods.md 1.2, locality):
//   retention = 1/K sum_k KL(exp(reference_k) || softmax(logits[row_k]))
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace retune {

// Appends to a graph with an output "logits" [B, S, V] three inputs, label_rows i64 [L] (b * S + s: the row that
// predicts the label), labels i64 [L] and label_weights f32 [L], and the values `loss` (scalar) and "nll" f32 [L].
void append_answer_loss(Graph& graph, const std::string& loss = "loss");

// Appends two inputs, divergence_rows i64 [K] and divergence_reference f32 [K, V] (log-probabilities, in nats), and the
// f32 scalar `divergence`, in nats.
void append_divergence_loss(Graph& graph, const std::string& divergence = "divergence");

// The same with the distributions exchanged, on inputs retention_rows and retention_reference. A probability of 0 in
// the reference (log -inf) is not understood: give finite logarithms.
void append_retention_loss(Graph& graph, const std::string& retention = "retention");

}  // namespace retune
