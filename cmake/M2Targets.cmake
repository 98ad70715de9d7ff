# Functions that every folder's CMakeLists.txt uses: m2_library, m2_test, m2_fuzz.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

find_program(M2_CCACHE ccache)
if(M2_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${M2_CCACHE})
endif()

add_library(m2_options INTERFACE)
target_compile_features(m2_options INTERFACE cxx_std_20)
target_include_directories(m2_options INTERFACE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/src)
# GCC 12 reports restrict and overflow problems that are not there, and members that designated
# initialisers leave at their defaults; these stay off.
target_compile_options(m2_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict -Wno-stringop-overflow -Wno-array-bounds
    -Wno-maybe-uninitialized -Wno-missing-field-initializers>
  $<$<BOOL:${M2_WERROR}>:-Werror>>
  $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr -Xcompiler=-Wall
  $<$<BOOL:${M2_WERROR}>:-Werror=all-warnings>>)
target_compile_definitions(m2_options INTERFACE
  $<$<OR:$<BOOL:${M2_DEV_CHECKS}>,$<CONFIG:Debug>>:M2_DEV_CHECKS=1>)

set(M2_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize= takes them")
if(M2_SANITIZE)
  target_compile_options(m2_options INTERFACE -fsanitize=${M2_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=undefined)
  target_link_options(m2_options INTERFACE -fsanitize=${M2_SANITIZE})
endif()

# m2_library(<folder> SOURCES ... [DEPS folders...] [LIBS third-party...]): static library m2_<folder>.
function(m2_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LIBS" ${ARGN})
  add_library(m2_${name} STATIC ${ARG_SOURCES})
  list(TRANSFORM ARG_DEPS PREPEND m2_)
  target_link_libraries(m2_${name} PUBLIC m2_options ${ARG_DEPS} PRIVATE ${ARG_LIBS})
endfunction()

# m2_test(<folder> SOURCES ... [DEPS folders...] [LABELS ...]): GoogleTest program m2_<folder>_test.
function(m2_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LIBS;LABELS" ${ARGN})
  add_executable(m2_${name}_test ${ARG_SOURCES})
  list(TRANSFORM ARG_DEPS PREPEND m2_)
  target_link_libraries(m2_${name}_test PRIVATE m2_test_support ${ARG_DEPS} ${ARG_LIBS}
    GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND m2_${name}_test)
  if(NOT ARG_LABELS)
    set(ARG_LABELS fast)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}")
endfunction()

# m2_fuzz(<name> SOURCES ... [DEPS folders...]): with M2_FUZZ a libFuzzer program m2_<name>_fuzz;
# always a replay program over tests/fuzz/corpus/<name> and seeded mutations of it, run by ctest.
function(m2_fuzz name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LIBS" ${ARGN})
  list(TRANSFORM ARG_DEPS PREPEND m2_)
  add_executable(m2_${name}_fuzz_replay ${ARG_SOURCES} ${CMAKE_SOURCE_DIR}/tests/fuzz/replay.cc)
  target_link_libraries(m2_${name}_fuzz_replay PRIVATE m2_test_support ${ARG_DEPS} ${ARG_LIBS})
  add_test(NAME fuzz_${name}
    COMMAND m2_${name}_fuzz_replay ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
  set_tests_properties(fuzz_${name} PROPERTIES LABELS fast)
  if(M2_FUZZ)
    add_executable(m2_${name}_fuzz ${ARG_SOURCES})
    target_compile_options(m2_${name}_fuzz PRIVATE -fsanitize=fuzzer,address)
    target_link_options(m2_${name}_fuzz PRIVATE -fsanitize=fuzzer,address)
    target_link_libraries(m2_${name}_fuzz PRIVATE m2_test_support ${ARG_DEPS} ${ARG_LIBS})
  endif()
endfunction()
