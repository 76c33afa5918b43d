# Build options and the one interface target that carries the flags of every Retune target.
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
option(RETUNE_BUILD_TESTS "Build the test suites" ${PROJECT_IS_TOP_LEVEL})
option(RETUNE_BUILD_BENCH "Build the benchmarks" OFF)
option(RETUNE_WERROR "Treat warnings as errors" ${PROJECT_IS_TOP_LEVEL})
set(RETUNE_MARCH "native" CACHE STRING "Value of -march: native, or e.g. x86-64-v3 for a binary that travels")
set(RETUNE_SANITIZE "" CACHE STRING "Value of -fsanitize, e.g. address,undefined or thread; empty for none")

set(CMAKE_CXX_FLAGS_RELEASE "-O3 -DNDEBUG")
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_program(RETUNE_CCACHE ccache)
if(RETUNE_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${RETUNE_CCACHE}")
endif()

add_library(retune_flags INTERFACE)
add_library(retune::flags ALIAS retune_flags)
set_target_properties(retune_flags PROPERTIES EXPORT_NAME flags)
target_compile_features(retune_flags INTERFACE cxx_std_20)
target_include_directories(retune_flags INTERFACE
  "$<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}>" "$<INSTALL_INTERFACE:include/retune>")
# No contraction to fused multiply-add: a fused kernel must give the bits of the operators that it replaces.
target_compile_options(retune_flags INTERFACE
  $<BUILD_INTERFACE:-march=${RETUNE_MARCH} -ffp-contract=off -fno-math-errno -fno-trapping-math -Wall -Wextra -Wshadow -Wnon-virtual-dtor>)
if(RETUNE_WERROR)
  target_compile_options(retune_flags INTERFACE $<BUILD_INTERFACE:-Werror>)
endif()
if(RETUNE_SANITIZE)
  target_compile_options(retune_flags INTERFACE $<BUILD_INTERFACE:-fsanitize=${RETUNE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g1>)
  target_link_options(retune_flags INTERFACE $<BUILD_INTERFACE:-fsanitize=${RETUNE_SANITIZE}>)
endif()
