# The installed package: find_package(retune) gives a target retune::ROOM for each room.
#
#   include/retune/ROOM/noun.h          as in the tree, so that #include "tensor/tensor.h" reads the same
#   lib/libretune_ROOM.a                static libraries
#   lib/cmake/retune/                   retuneConfig.cmake, its version, the targets, and the list of dependencies
#   bin/retune                          the program
#
# The dependencies are the system's own packages. The config finds them again with the very file that the build used, so
# that the pkg-config targets which stand in our link interfaces exist in the consumer's project too.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(RETUNE_CMAKE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/retune")
get_property(rooms GLOBAL PROPERTY RETUNE_ROOMS)

install(TARGETS retune_flags EXPORT retuneTargets)
foreach(room IN LISTS rooms)
  install(TARGETS retune_${room} EXPORT retuneTargets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/${room}/" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/retune/${room}"
    FILES_MATCHING PATTERN "*.h")
endforeach()
if(TARGET retune)
  install(TARGETS retune RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()

install(EXPORT retuneTargets NAMESPACE retune:: DESTINATION "${RETUNE_CMAKE_DIR}")
configure_package_config_file(
  "${PROJECT_SOURCE_DIR}/cmake/retuneConfig.cmake.in" "${PROJECT_BINARY_DIR}/retuneConfig.cmake"
  INSTALL_DESTINATION "${RETUNE_CMAKE_DIR}")
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/retuneConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/retuneConfig.cmake"
  "${PROJECT_BINARY_DIR}/retuneConfigVersion.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/RetuneDependencies.cmake"
  DESTINATION "${RETUNE_CMAKE_DIR}")
