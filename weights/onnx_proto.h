// The ONNX schema's generated classes (namespace onnx), as Debian builds them: with ONNX-ML's messages. Include this,
// never the package's own headers: they give incomplete classes unless these two macros are set.
//
// The installed schema is 1.12 (IR 8, opset 17). Fields of newer releases live on as unknown fields of their messages.
#pragma once

#ifndef ONNX_ML
#define ONNX_ML 1
#endif
#ifndef ONNX_NAMESPACE
#define ONNX_NAMESPACE onnx
#endif
#include <onnx/onnx_pb.h>
