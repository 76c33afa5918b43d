// The loss of teacher forcing, as graph nodes behind the logits (methods.md 1.2):
//
//   loss = sum_i w_i * -log softmax(logits[row_i])[label_i]
//
// With w_i = 1/T the mean over the T target tokens of one answer, EOS included.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace retune {

// Appends to a graph with an output "logits" [B, S, V] three inputs, label_rows i64 [L] (b * S + s: the row that predicts the
// label), labels i64 [L] and label_weights f32 [L], and the values `loss` (scalar) and "nll" f32 [L].
void append_answer_loss(Graph& graph, const std::string& loss = "loss");

}  // namespace retune
