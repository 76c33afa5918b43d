// Activation functions: y = f(x) with an entry for the derivative beside each, so that forward and gradient are one
// pass each.
//
// ONNX: Tanh Sigmoid Relu LeakyRelu Elu Celu(12) Selu Softplus Softsign HardSigmoid HardSwish ThresholdedRelu(10)
// Shrink(9) Mish(18) Gelu(20) Swish(24) SwiGLU(28); com.microsoft: Gelu QuickGelu, BiasGelu and FastGelu with their
// optional bias [D]. The gradient of F is the private operator "FGrad": (x or y, cotangent) to cotangent * f'.
//
// At kinks the derivative is that of the side the sources take: Relu'(0) = 0, LeakyRelu'(0) = alpha, HardSigmoid and
// HardSwish the flat side's (0 at the ends of the ramp), ThresholdedRelu and Shrink that of the side the value takes.
#include <cmath>
#include <numbers>

#include "graph/graph_builder.h"
#include "graph/ops/body.h"
#include "graph/ops/families.h"
#include "graph/ops/map.h"
#include "graph/ops/vector_math.h"

namespace retune {

namespace {

// An activation is made from a node's attributes; slope(v) takes the output if kFromOutput, else the input.
struct TanhFunction {
  static constexpr bool kFromOutput = true;
  explicit TanhFunction(const Attributes&) {}
  template <class T>
  T value(T x) const {
    return vector_math::tanh(x);
  }
  template <class T>
  T slope(T y) const {
    return T{1} - y * y;
  }
};

struct SigmoidFunction {
  static constexpr bool kFromOutput = true;
  explicit SigmoidFunction(const Attributes&) {}
  template <class T>
  T value(T x) const {
    return vector_math::sigmoid(x);
  }
  template <class T>
  T slope(T y) const {
    return y * (T{1} - y);
  }
};

struct ReluFunction {
  static constexpr bool kFromOutput = true;
  explicit ReluFunction(const Attributes&) {}
  template <class T>
  T value(T x) const {
    return x < T{0} ? T{0} : x;
  }
  template <class T>
  T slope(T y) const {
    return y > T{0} ? T{1} : T{0};
  }
};

struct LeakyReluFunction {
  static constexpr bool kFromOutput = false;
  explicit LeakyReluFunction(const Attributes& attributes) : alpha(attributes.f("alpha", 0.01)) {}
  template <class T>
  T value(T x) const {
    return x < T{0} ? static_cast<T>(alpha) * x : x;
  }
  template <class T>
  T slope(T x) const {
    return x > T{0} ? T{1} : static_cast<T>(alpha);
  }
  double alpha;
};

// alpha (exp(x) - 1) below 0; y = x above. Clevert et al. 2016, arXiv:1511.07289, eq. 15.
struct EluFunction {
  static constexpr bool kFromOutput = false;
  explicit EluFunction(const Attributes& attributes) : alpha(attributes.f("alpha", 1.0)) {}
  template <class T>
  T value(T x) const {
    return x < T{0} ? static_cast<T>(alpha) * std::expm1(x) : x;
  }
  template <class T>
  T slope(T x) const {
    return x < T{0} ? static_cast<T>(alpha) * vector_math::exp(x) : T{1};
  }
  double alpha;
};

// alpha (exp(x / alpha) - 1) below 0, x above: slope 1 on both sides of 0. Barron 2017, arXiv:1704.07483, eq. 2.
struct CeluFunction {
  static constexpr bool kFromOutput = false;
  explicit CeluFunction(const Attributes& attributes) : alpha(attributes.f("alpha", 1.0)) {}
  template <class T>
  T value(T x) const {
    return x < T{0} ? static_cast<T>(alpha) * std::expm1(x / static_cast<T>(alpha)) : x;
  }
  template <class T>
  T slope(T x) const {
    return x < T{0} ? vector_math::exp(x / static_cast<T>(alpha)) : T{1};
  }
  double alpha;
};

// Klambauer et al. 2017, arXiv:1706.02515, eq. 2.
struct SeluFunction {
  static constexpr bool kFromOutput = false;
  explicit SeluFunction(const Attributes& attributes)
      : alpha(attributes.f("alpha", 1.67326319217681884765625)),
        gamma(attributes.f("gamma", 1.05070102214813232421875)) {}
  template <class T>
  T value(T x) const {
    return static_cast<T>(gamma) * (x > T{0} ? x : static_cast<T>(alpha) * std::expm1(x));
  }
  template <class T>
  T slope(T x) const {
    return static_cast<T>(gamma) * (x > T{0} ? T{1} : static_cast<T>(alpha) * vector_math::exp(x));
  }
  double alpha, gamma;
};

// log(1 + exp(x)), without overflow.
struct SoftplusFunction {
  static constexpr bool kFromOutput = false;
  explicit SoftplusFunction(const Attributes&) {}
  template <class T>
  T value(T x) const {
    return (x > T{0} ? x : T{0}) + std::log1p(vector_math::exp(-std::fabs(x)));
  }
  template <class T>
  T slope(T x) const {
    return vector_math::sigmoid(x);
  }
};

struct SoftsignFunction {
  static constexpr bool kFromOutput = false;
  explicit SoftsignFunction(const Attributes&) {}
  template <class T>
  T value(T x) const {
    return x / (T{1} + std::fabs(x));
  }
  template <class T>
  T slope(T x) const {
    const T scale = T{1} / (T{1} + std::fabs(x));
    return scale * scale;
  }
};

// max(0, min(1, alpha x + beta)).
struct HardSigmoidFunction {
  static constexpr bool kFromOutput = false;
  explicit HardSigmoidFunction(const Attributes& attributes)
      : alpha(attributes.f("alpha", 0.2)), beta(attributes.f("beta", 0.5)) {}
  template <class T>
  T ramp(T x) const {
    return static_cast<T>(alpha) * x + static_cast<T>(beta);
  }
  template <class T>
  T value(T x) const {
    const T r = ramp(x);
    return r < T{0} ? T{0} : r > T{1} ? T{1} : r;
  }
  template <class T>
  T slope(T x) const {
    const T r = ramp(x);
    return r > T{0} && r < T{1} ? static_cast<T>(alpha) : T{0};
  }
  double alpha, beta;
};

// x above alpha, else 0.
struct ThresholdedReluFunction {
  static constexpr bool kFromOutput = false;
  explicit ThresholdedReluFunction(const Attributes& attributes) : alpha(attributes.f("alpha", 1.0)) {}
  template <class T>
  T value(T x) const {
    return x > static_cast<T>(alpha) ? x : T{0};
  }
  template <class T>
  T slope(T x) const {
    return x > static_cast<T>(alpha) ? T{1} : T{0};
  }
  double alpha;
};

// Nothing within [-lambd, lambd], and what is outside moved towards 0 by bias. Integers are shrunk as floats.
struct ShrinkFunction {
  static constexpr bool kFromOutput = false;
  explicit ShrinkFunction(const Attributes& attributes)
      : bias(attributes.f("bias", 0.0)), lambd(attributes.f("lambd", 0.5)) {}
  template <class T>
  T value(T x) const {
    const auto wide = static_cast<double>(x);
    return wide < -lambd ? static_cast<T>(wide + bias) : wide > lambd ? static_cast<T>(wide - bias) : T{0};
  }
  template <class T>
  T slope(T x) const {
    return static_cast<double>(x) < -lambd || static_cast<double>(x) > lambd ? T{1} : T{0};
  }
  double bias, lambd;
};

// x tanh(softplus(x)). Misra 2019, arXiv:1908.08681, eq. 1.
struct MishFunction {
  static constexpr bool kFromOutput = false;
  explicit MishFunction(const Attributes& attributes) : softplus(attributes) {}
  template <class T>
  T value(T x) const {
    return x * vector_math::tanh(softplus.value(x));
  }
  template <class T>
  T slope(T x) const {
    const T gate = vector_math::tanh(softplus.value(x));
    return gate + x * (T{1} - gate * gate) * vector_math::sigmoid(x);
  }
  SoftplusFunction softplus;
};

// x * HardSigmoid(x; 1/6, 1/2).
struct HardSwishFunction {
  static constexpr bool kFromOutput = false;
  explicit HardSwishFunction(const Attributes&) {}
  template <class T>
  T value(T x) const {
    const T r = x / T{6} + T{0.5};
    return x * (r < T{0} ? T{0} : r > T{1} ? T{1} : r);
  }
  template <class T>
  T slope(T x) const {
    return x <= T{-3} ? T{0} : x >= T{3} ? T{1} : x / T{3} + T{0.5};
  }
};

// x sigmoid(alpha x): SiLU for alpha = 1 (Swish's default), the quick GELU for 1.702 (QuickGelu's).
template <bool quick>
struct SwishFunction {
  static constexpr bool kFromOutput = false;
  explicit SwishFunction(const Attributes& attributes) : alpha(attributes.f("alpha", quick ? 1.702 : 1.0)) {}
  template <class T>
  T value(T x) const {
    return x * vector_math::sigmoid(static_cast<T>(alpha) * x);
  }
  template <class T>
  T slope(T x) const {
    const T s = vector_math::sigmoid(static_cast<T>(alpha) * x);
    return s + static_cast<T>(alpha) * x * s * (T{1} - s);
  }
  double alpha;
};

// x Phi(x) with the normal distribution function Phi. Hendrycks and Gimpel 2016, arXiv:1606.08415, eq. 1.
struct ErfGelu {
  static constexpr bool kFromOutput = false;
  explicit ErfGelu(const Attributes&) {}
  template <class T>
  T value(T x) const {
    return x * vector_math::normal_cdf(x);
  }
  template <class T>
  T slope(T x) const {
    constexpr T kDensityAtZero = std::numbers::inv_sqrtpi_v<T> / std::numbers::sqrt2_v<T>;
    return vector_math::normal_cdf(x) + x * kDensityAtZero * vector_math::exp(T{-0.5} * x * x);
  }
};

// Its approximation x (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3), section 2 of the same paper; as x
// sigmoid(2u), which does not cancel for x < 0.
struct TanhGelu {
  static constexpr bool kFromOutput = false;
  explicit TanhGelu(const Attributes&) {}
  template <class T>
  static constexpr T kScale = T{2} * std::numbers::sqrt2_v<T> * std::numbers::inv_sqrtpi_v<T>;
  template <class T>
  static T gate(T x) {
    return vector_math::sigmoid(kScale<T> * (x + T{0.044715} * x * x * x));
  }
  template <class T>
  T value(T x) const {
    return x * gate(x);
  }
  template <class T>
  T slope(T x) const {
    const T s = gate(x);
    return s + x * s * (T{1} - s) * kScale<T> * (T{1} + T{3} * T{0.044715} * x * x);
  }
};

template <class F>
void forward(ForwardContext& ctx) {
  const F function(ctx.attributes());
  visit_float(ctx.in(0).dtype(), [&]<class T>(T) {
    map(ctx.pool(), ctx.in(0).numel(), ctx.in(0).data<T>(), ctx.out(0).mutable_data<T>(),
        [function](T x) { return function.value(x); });
  });
}

// (x or y, cotangent) -> cotangent * slope.
template <class F>
void grad_forward(ForwardContext& ctx) {
  const F function(ctx.attributes());
  visit_float(ctx.in(0).dtype(), [&]<class T>(T) {
    map(ctx.pool(), ctx.in(0).numel(), ctx.in(0).data<T>(), ctx.in(1).data<T>(), ctx.out(0).mutable_data<T>(),
        [function](T v, T g) { return g * function.slope(v); });
  });
}

// Relu (from version 14 on) and Shrink are defined on integers too.
template <class F>
void number_forward(ForwardContext& ctx) {
  const F function(ctx.attributes());
  visit_number(ctx.in(0).dtype(), [&]<class T>(T) {
    map(ctx.pool(), ctx.in(0).numel(), ctx.in(0).data<T>(), ctx.out(0).mutable_data<T>(),
        [function](T x) { return function.value(x); });
  });
}

// Gelu(20) chooses by its attribute `approximate`.
bool asks_for_tanh(const Attributes& attributes) {
  const std::string approximate = attributes.s("approximate", "none");
  if (approximate != "none" && approximate != "tanh")
    throw user_error("attribute approximate is '{}', expected 'none' or 'tanh'", approximate);
  return approximate == "tanh";
}

void gelu_forward(ForwardContext& ctx) {
  asks_for_tanh(ctx.attributes()) ? forward<TanhGelu>(ctx) : forward<ErfGelu>(ctx);
}

void gelu_grad_forward(ForwardContext& ctx) {
  asks_for_tanh(ctx.attributes()) ? grad_forward<TanhGelu>(ctx) : grad_forward<ErfGelu>(ctx);
}

void infer_activation(InferContext& ctx) {
  require_inputs(ctx, 1);
  require_float(ctx, 0);
  ctx.same_as_input();
}

void infer_relu(InferContext& ctx) {
  require_inputs(ctx, 1);
  if (ctx.version() < 14) require_float(ctx, 0);
  ctx.same_as_input();
}

void infer_shrink(InferContext& ctx) {
  require_inputs(ctx, 1);
  if (ctx.dtype(0) == DType::kBool) throw user_error("input 0 has type bool, expected a number");
  ctx.same_as_input();
}

template <class F>
void vjp(VjpContext& ctx) {
  const ValueId point = F::kFromOutput ? ctx.out() : ctx.in(0);
  ctx.give(0, ctx.builder().private_op(ctx.node().op + "Grad", {point, ctx.cotangent()}, ctx.attributes()));
}

template <class F>
void add_activation(std::vector<Op>& ops, std::string domain, const std::string& name, int since) {
  ops.push_back({.domain = std::move(domain),
                 .name = name,
                 .since = since,
                 .infer = infer_activation,
                 .forward = forward<F>,
                 .vjp = vjp<F>});
  ops.push_back({.domain = "retune",
                 .name = name + "Grad",
                 .infer = infer_activation,
                 .forward = grad_forward<F>,
                 .no_vjp = kIsGradient});
}

// Of ONNX, on integers too.
template <class F>
void add_number_activation(std::vector<Op>& ops, const std::string& name, int since, void (*infer)(InferContext&)) {
  ops.push_back(
      {.domain = "", .name = name, .since = since, .infer = infer, .forward = number_forward<F>, .vjp = vjp<F>});
  ops.push_back({.domain = "retune",
                 .name = name + "Grad",
                 .infer = infer_activation,
                 .forward = grad_forward<F>,
                 .no_vjp = kIsGradient});
}

// com.microsoft.BiasGelu and FastGelu: f(x + bias), bias [D] along the last axis (FastGelu's is optional).
void infer_biased(InferContext& ctx) {
  infer_activation(ctx);
  if (!ctx.has(1)) {
    if (ctx.node().op == "BiasGelu") throw user_error("input 1, the bias, is missing");
    return;
  }
  require_same_dtype(ctx, 0, 1);
  if (ctx.shape(1).rank() != 1 || ctx.shape(0).rank() == 0 || ctx.shape(1)[0] != ctx.shape(0).back())
    throw user_error("the bias has shape {}, expected the last axis of {}", ctx.shape(1).text(), ctx.shape(0).text());
}

template <class F>
void biased_forward(ForwardContext& ctx) {
  if (!ctx.has(1)) return forward<F>(ctx);
  const F function(ctx.attributes());
  const Shape& shape = ctx.in(0).shape();
  visit_float(ctx.in(0).dtype(), [&]<class T>(T) {
    map_broadcast(ctx.pool(), plan_broadcast<2>(shape, {&shape, &ctx.in(1).shape()}), ctx.in(0).data<T>(),
                  ctx.in(1).data<T>(), ctx.out(0).mutable_data<T>(),
                  [function](T x, T bias) { return function.value(x + bias); });
  });
}

void biased_vjp(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  const ValueId point = ctx.has(1) ? b.add(ctx.in(0), ctx.in(1)) : ctx.in(0);
  const std::string approximate = ctx.node().op == "FastGelu" ? "tanh" : "none";
  const ValueId gradient = b.private_op("GeluGrad", {point, ctx.cotangent()}, {{"approximate", approximate}});
  if (ctx.wants(0)) ctx.give(0, gradient);
  if (ctx.wants(1)) ctx.give(1, b.sum_to(gradient, ctx.shape(ctx.in(1))));
}

// Swish(a) b. Shazeer 2020, arXiv:2002.05202, eq. 6.
Graph swiglu_body(const InferContext& ctx) {
  require_inputs(ctx, 2);
  require_float(ctx, 0);
  require_same_dtype(ctx, 0, 1);
  Body body(ctx);
  GraphBuilder& b = body.builder();
  const ValueId gate =
      b.ops("com.microsoft", "QuickGelu", {body.in(0)}, {{"alpha", ctx.attributes().f("alpha", 1.0)}}, {""})[0];
  return body.finish({b.mul(gate, body.in(1))});
}

}  // namespace

std::vector<Op> activation_ops() {
  std::vector<Op> ops;
  add_activation<TanhFunction>(ops, "", "Tanh", 1);
  add_activation<SigmoidFunction>(ops, "", "Sigmoid", 1);
  add_activation<LeakyReluFunction>(ops, "", "LeakyRelu", 1);
  add_activation<EluFunction>(ops, "", "Elu", 1);
  add_activation<CeluFunction>(ops, "", "Celu", 12);
  add_activation<SeluFunction>(ops, "", "Selu", 1);
  add_activation<SoftplusFunction>(ops, "", "Softplus", 1);
  add_activation<SoftsignFunction>(ops, "", "Softsign", 1);
  add_activation<HardSigmoidFunction>(ops, "", "HardSigmoid", 1);
  add_activation<HardSwishFunction>(ops, "", "HardSwish", 14);
  add_activation<ThresholdedReluFunction>(ops, "", "ThresholdedRelu", 10);
  add_activation<MishFunction>(ops, "", "Mish", 18);
  add_activation<SwishFunction<false>>(ops, "", "Swish", 24);
  add_activation<SwishFunction<true>>(ops, "com.microsoft", "QuickGelu", 1);
  add_number_activation<ReluFunction>(ops, "Relu", 1, infer_relu);
  add_number_activation<ShrinkFunction>(ops, "Shrink", 9, infer_shrink);
  ops.push_back({.domain = "",
                 .name = "Gelu",
                 .since = 20,
                 .infer = infer_activation,
                 .forward = gelu_forward,
                 .vjp = vjp<ErfGelu>});
  ops.push_back({.domain = "", .name = "SwiGLU", .since = 28, .body = swiglu_body});
  ops.push_back({.domain = "com.microsoft",
                 .name = "Gelu",
                 .infer = infer_activation,
                 .forward = forward<ErfGelu>,
                 .vjp = vjp<ErfGelu>});
  ops.push_back({.domain = "retune",
                 .name = "GeluGrad",
                 .infer = infer_activation,
                 .forward = gelu_grad_forward,
                 .no_vjp = kIsGradient});
  ops.push_back({.domain = "com.microsoft",
                 .name = "BiasGelu",
                 .infer = infer_biased,
                 .forward = biased_forward<ErfGelu>,
                 .vjp = biased_vjp});
  ops.push_back({.domain = "com.microsoft",
                 .name = "FastGelu",
                 .infer = infer_biased,
                 .forward = biased_forward<TanhGelu>,
                 .vjp = biased_vjp});
  return ops;
}

}  // namespace retune
