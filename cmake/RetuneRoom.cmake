# retune_room(NAME DEPS room... LIBS target...)
#
# One room, one library target retune::NAME from every source in the folder, and one test program NAME_tests from every
# *_test.cc beside them (and *_test_support.cc, what several of them share). DEPS are rooms (scripts/check_includes.py compares
# them with cmake/rooms.txt), LIBS third-party targets.
function(retune_room name)
  cmake_parse_arguments(ROOM "" "" "DEPS;LIBS;TEST_LIBS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.cc")
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_(test|test_support|bench)\\.cc$|/main\\.cc$")
  list(FILTER tests INCLUDE REGEX "_(test|test_support)\\.cc$")

  list(TRANSFORM ROOM_DEPS PREPEND "retune::" OUTPUT_VARIABLE deps)
  if(sources)
    add_library(retune_${name} STATIC ${sources})
    target_link_libraries(retune_${name} PUBLIC retune::flags ${deps} ${ROOM_LIBS} Threads::Threads)
  else()
    add_library(retune_${name} INTERFACE)
    target_link_libraries(retune_${name} INTERFACE retune::flags ${deps} ${ROOM_LIBS} Threads::Threads)
  endif()
  add_library(retune::${name} ALIAS retune_${name})
  set_target_properties(retune_${name} PROPERTIES EXPORT_NAME ${name})
  set_property(GLOBAL APPEND PROPERTY RETUNE_ROOMS ${name})

  if(RETUNE_BUILD_TESTS AND tests)
    add_executable(${name}_tests ${tests})
    target_link_libraries(${name}_tests PRIVATE retune::${name} ${ROOM_TEST_LIBS} GTest::gtest GTest::gmock GTest::gtest_main)
    gtest_discover_tests(${name}_tests TEST_PREFIX "${name}/" DISCOVERY_TIMEOUT 60
      WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}" PROPERTIES TIMEOUT 300)
  endif()
endfunction()
