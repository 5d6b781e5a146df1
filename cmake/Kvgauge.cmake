# The project's three (and a half) ways to make a target; compile options live here and nowhere else.
include(CheckIPOSupported)
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
find_program(KVGAUGE_CCACHE ccache)
if(KVGAUGE_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${KVGAUGE_CCACHE})
endif()

add_library(kvgauge_options INTERFACE)
target_compile_features(kvgauge_options INTERFACE cxx_std_20)
set_target_properties(kvgauge_options PROPERTIES INTERFACE_POSITION_INDEPENDENT_CODE ON)
target_compile_options(kvgauge_options INTERFACE
  # CMake 3.25 ignores CMAKE_CUDA_STANDARD 20 and does not know cuda_std_20. 20208: long double in headers that no kernel uses. fmt 9
  # turns constexpr off under nvcc while its consteval stays on.
  "$<$<COMPILE_LANGUAGE:CUDA>:-std=c++20;--expt-relaxed-constexpr;-diag-suppress=20208;-DFMT_USE_CONSTEXPR=1;-Werror=all-warnings;-Xcompiler=-Wall,-Wextra,-Werror,-ffp-contract=off>"
  # One rounding per written operation: sums have the same bits on every instruction set; fma is spelled where it is meant.
  "$<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Werror;-ffp-contract=off>"
  # The widths of vector types are internal to one library; GCC's note about their ABI says nothing to us.
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-Wno-psabi>)
target_include_directories(kvgauge_options INTERFACE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
if(KVGAUGE_SANITIZE)
  target_compile_options(kvgauge_options INTERFACE -fsanitize=${KVGAUGE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(kvgauge_options INTERFACE -fsanitize=${KVGAUGE_SANITIZE})
endif()

if(KVGAUGE_FUZZ)  # libFuzzer is guided by the coverage of the libraries under test, so they are instrumented too
  target_compile_options(kvgauge_options INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(kvgauge_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# kvgauge_library(name SOURCES a.cpp ... LINK other ...): static library kvgauge_<name>, alias kvgauge::<name>
function(kvgauge_library name)
  cmake_parse_arguments(A "" "" "SOURCES;LINK" ${ARGN})
  add_library(kvgauge_${name} STATIC ${A_SOURCES})
  add_library(kvgauge::${name} ALIAS kvgauge_${name})
  target_link_libraries(kvgauge_${name} PUBLIC kvgauge_options ${A_LINK})
endfunction()

# kvgauge_test(name SOURCES a_test.cpp ... LINK libs LABELS fast): one GoogleTest binary, each TEST a ctest entry.
# Tests run in the source's tests/ folder's view of files through KVGAUGE_SOURCE_DIR (see tests/support/paths.h).
function(kvgauge_test name)
  cmake_parse_arguments(A "" "" "SOURCES;LINK;LABELS" ${ARGN})
  add_executable(${name}_test ${A_SOURCES})
  target_link_libraries(${name}_test PRIVATE kvgauge_options kvgauge_test_support ${A_LINK} GTest::gtest GTest::gtest_main)
  if(NOT A_LABELS)
    set(A_LABELS fast)
  endif()
  # Tests share the machine with one another: threads that wait must not spin (docs/DECISIONS.md 15).
  gtest_discover_tests(${name}_test TEST_PREFIX "${name}/" DISCOVERY_MODE PRE_TEST
    PROPERTIES LABELS "${A_LABELS}" TIMEOUT 900 SKIP_REGULAR_EXPRESSION "\\[  SKIPPED \\]" ENVIRONMENT OMP_WAIT_POLICY=passive)
endfunction()

# kvgauge_bench(name SOURCES ... LINK ...): a program under bench/, never a test
function(kvgauge_bench name)
  cmake_parse_arguments(A "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name}_bench ${A_SOURCES})
  target_link_libraries(${name}_bench PRIVATE kvgauge_options ${A_LINK})
endfunction()

# kvgauge_fuzz(name SOURCES ... LINK ...): a libFuzzer target; only with KVGAUGE_FUZZ=ON and clang. A short run from the seed corpus
# tests/fuzz/corpus/<name> is a test with the label `fuzz`; run the program itself for longer.
function(kvgauge_fuzz name)
  cmake_parse_arguments(A "" "" "SOURCES;LINK" ${ARGN})
  if(NOT KVGAUGE_FUZZ)
    return()
  endif()
  add_executable(${name}_fuzz ${A_SOURCES})
  target_compile_options(${name}_fuzz PRIVATE -fsanitize=fuzzer)
  target_link_options(${name}_fuzz PRIVATE -fsanitize=fuzzer)
  target_link_libraries(${name}_fuzz PRIVATE kvgauge_options ${A_LINK})
  set(found ${CMAKE_CURRENT_BINARY_DIR}/found/${name})
  file(MAKE_DIRECTORY ${found})
  add_test(NAME fuzz/${name} COMMAND ${name}_fuzz -seed=1 -max_total_time=15 -timeout=10 -rss_limit_mb=2048 ${found} ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name})
  set_tests_properties(fuzz/${name} PROPERTIES LABELS fuzz TIMEOUT 120)
endfunction()
