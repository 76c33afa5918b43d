// The families of operators: each function lists what one file of this folder defines. op_registry.cc joins them.
#pragma once

#include <vector>

#include "graph/op.h"

namespace retune {

std::vector<Op> elementwise_ops();            // Neg Abs Exp Log Sqrt Reciprocal Erf Cos Sin Tan Floor Ceil Round Sign
std::vector<Op> activation_ops();             // Tanh Sigmoid Relu ... Gelu Swish, and com.microsoft's GELUs
std::vector<Op> bitwise_ops();                // BitwiseAnd BitwiseOr BitwiseXor BitwiseNot BitShift BitCast
std::vector<Op> einsum_ops();                 // Einsum
std::vector<Op> conv_transpose_ops();         // ConvTranspose
std::vector<Op> arithmetic_ops();             // Add Sub Mul Div Pow Mod, Min Max Sum Mean
std::vector<Op> logic_ops();                  // Equal Less ... And Or Xor Not IsNaN IsInf
std::vector<Op> selection_ops();              // Where Clip PRelu
std::vector<Op> cast_ops();                   // Cast CastLike
std::vector<Op> reduction_ops();              // ReduceSum ReduceMean ... ReduceLogSumExp
std::vector<Op> ranking_ops();                // ArgMax ArgMin TopK Hardmax
std::vector<Op> cumulative_ops();             // CumSum CumProd
std::vector<Op> shape_ops();                  // Shape Size Reshape Unsqueeze Squeeze Flatten Identity
std::vector<Op> dropout_ops();                // Dropout
std::vector<Op> constant_ops();               // Constant ConstantOfShape Range EyeLike
std::vector<Op> movement_ops();               // Expand Tile Transpose Concat Split Slice
std::vector<Op> padding_ops();                // Pad Trilu
std::vector<Op> linear_ops();                 // MatMul FusedMatMul Gemm
std::vector<Op> softmax_ops();                // Softmax LogSoftmax
std::vector<Op> normalization_ops();          // LayerNormalization, RMSNormalization and their Skip forms
std::vector<Op> channel_normalization_ops();  // BatchNormalization InstanceNormalization GroupNormalization
std::vector<Op> cross_entropy_ops();          // CrossEntropy KlDivergence
std::vector<Op> gather_ops();                 // Gather GatherElements GatherND
std::vector<Op> scatter_ops();                // ScatterND ScatterElements
std::vector<Op> compress_ops();               // Compress NonZero OneHot
std::vector<Op> intervention_ops();           // AddRows ReplaceRows
std::vector<Op> convolution_ops();            // Conv
std::vector<Op> pooling_ops();                // AveragePool MaxPool GlobalAveragePool
std::vector<Op> recurrent_ops();              // RNN GRU LSTM
std::vector<Op> spectrum_ops();               // DFT STFT
std::vector<Op> spectral_table_ops();         // HannWindow HammingWindow BlackmanWindow MelWeightMatrix
std::vector<Op> power_norm_ops();     // LpPool GlobalLpPool GlobalMaxPool LpNormalization LRN MeanVarianceNormalization
std::vector<Op> label_loss_ops();     // NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss
std::vector<Op> rearrangement_ops();  // DepthToSpace ... Col2Im MaxUnpool TensorScatter ReverseSequence
std::vector<Op> resize_ops();         // Resize Upsample
std::vector<Op> grid_sample_ops();    // GridSample AffineGrid
std::vector<Op> linear_attention_ops();     // LinearAttention CausalConvWithState
std::vector<Op> unique_ops();               // Unique
std::vector<Op> non_max_suppression_ops();  // NonMaxSuppression
std::vector<Op> determinant_ops();          // Det
std::vector<Op> attention_ops();            // Attention, private
std::vector<Op> onnx_attention_ops();       // Attention
std::vector<Op> flex_attention_ops();       // FlexAttention of ai.onnx.preview
std::vector<Op> contrib_attention_ops();    // MultiHeadAttention GroupQueryAttention
std::vector<Op> rotary_ops();               // RotaryEmbedding
std::vector<Op> quantization_ops();         // QuantizeLinear DequantizeLinear DynamicQuantizeLinear
std::vector<Op> integer_product_ops();      // MatMulInteger ConvInteger QLinearMatMul QLinearConv
std::vector<Op> block_quantized_ops();      // MatMulNBits MatMulBnb4
std::vector<Op> quantized_gather_ops();     // GatherBlockQuantized

std::vector<Op> control_ops();  // If Loop Scan, private

}  // namespace retune
