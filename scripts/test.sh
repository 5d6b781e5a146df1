#!/bin/sh
# Builds and tests. Last line: "N passed, N failed[, N skipped]".
#   scripts/test.sh         the release build's tests
#   scripts/test.sh --all   also: the real model's file (fetched), clang, address+undefined and thread sanitizers, a short run of every fuzz target,
#                           what executed each kernel (scripts/kernel_report), and where there is an nvcc that it takes them
set -eu
cd "$(dirname "$0")/.."
everything=no
case "${1-}" in
  "") ;;
  --all) everything=yes ;;
  *) echo "test.sh: '$1' is unknown, --all or nothing was needed" >&2; exit 2 ;;
esac

cores=$(nproc)
passed=0; failed=0; skipped=0
# A second checkout of the same sources finds what the first one compiled, where ccache is installed.
export CCACHE_BASEDIR="$PWD" CCACHE_NOHASHDIR=1
# Many small test processes share few cores: waiting threads must not spin.
export OMP_WAIT_POLICY=passive

# What TSan watches: our own threads and queues, the scheduler, the engine, kernels with planted races.
tsan_targets="core_test kv_test scheduler_test scheduler_property_test engine_test report_test gauge_schedule_test emulator_races"

# run_tests PRESET [ctest arguments]: adds the results to the totals
run_tests() {
  preset=$1; shift
  results="$PWD/build/$preset/results.xml"
  rm -f "$results"
  ctest --test-dir "build/$preset" -j "$cores" --output-on-failure --output-junit "$results" "$@" > "build/$preset/ctest.log" 2>&1 || true
  grep -E 'Test +#.*(Failed|Timeout|Not Run|Exception)|^\*\*\*|tests passed' "build/$preset/ctest.log" || true
  if [ ! -s "$results" ]; then
    echo "$preset: ctest wrote no results:"; tail -n 20 "build/$preset/ctest.log"; failed=$((failed + 1)); return
  fi
  number() { sed -n "s/.*[ \t]$1=\"\([0-9]*\)\".*/\1/p" "$results" | head -n 1; }
  total=$(number tests); bad=$(number failures); left_out=$(number skipped)
  if [ "${bad:-0}" -gt 0 ]; then sed -n '/The following tests FAILED/,$p' "build/$preset/ctest.log"; grep -n -B2 -A12 -m 40 'Failure$' "build/$preset/ctest.log" | head -n 200 || true; fi
  passed=$((passed + total - bad - left_out)); failed=$((failed + bad)); skipped=$((skipped + left_out))
  echo "== $preset: $((total - bad - left_out)) passed, $bad failed, $left_out skipped"
}

# build PRESET [targets]
build() {
  preset=$1; shift
  echo "== building $preset"
  mkdir -p "build/$preset"
  if ! { cmake --preset "$preset" && cmake --build "build/$preset" -j "$cores" ${1:+--target "$@"}; } > "build/$preset/build.log" 2>&1; then
    grep -nE 'error|FAILED|CMake Error' "build/$preset/build.log" | head -n 40; tail -n 30 "build/$preset/build.log"
    failed=$((failed + 1))
    return 1
  fi
  grep -E '^-- GPU back end:' "build/$preset/build.log" || true
}

if [ "$everything" = yes ]; then
  scripts/dependencies.sh build test all
  # Tests labelled `model` skip where the file could not be had; the skip lines say so.
  scripts/fetch_models.sh || echo "== the real models' files could not be fetched: tests that need them skip"
else
  scripts/dependencies.sh build test
fi

# The kernels' account of the tests that have just run (scripts/kernel_report): what was not executed, what spills.
report_kernels() {
  preset=$1
  if [ ! -s "build/$preset/ptx/sources.txt" ]; then echo "== $preset: no kernels in this build"; return; fi
  if scripts/kernel_report --build "build/$preset" > "build/$preset/kernel_report.txt"; then
    echo "== $preset kernels: $(tail -n 1 "build/$preset/kernel_report.txt")"
  else
    awk '/^[^ ]/ { kernel = $0 } /PROBLEM/ { sub(/^ */, ""); print kernel ": " $0 }' "build/$preset/kernel_report.txt"
    echo "== $preset kernels: $(tail -n 1 "build/$preset/kernel_report.txt") (build/$preset/kernel_report.txt)"
    failed=$((failed + 1))
  fi
}

scripts/check || failed=$((failed + 1))
rm -f build/cpu/kernel_records.txt build/cpu/kernel_bytes.txt
build cpu && run_tests cpu

if [ "$everything" = yes ]; then
  report_kernels cpu
  if grep -q '^-- GPU back end:.*nvcc [0-9.]* found' build/cpu/build.log; then
    build cuda-compile kvgauge || true  # no device is needed: that nvcc takes the kernels and the program links
  else
    echo "== cuda: not built, $(sed -n 's/^-- GPU back end: //p' build/cpu/build.log)"
  fi
  # Label gpu: the tests of operations on a real device.
  if nvidia-smi -L > /dev/null 2>&1; then
    build cuda ops_test device_helpers_test && run_tests cuda -L gpu
  else
    echo "== gpu: skipped, this machine has no NVIDIA device"
  fi
  build cpu-clang || true  # the product alone: warnings are errors; the next build runs clang's code under the tests
  build cpu-asan && run_tests cpu-asan -L 'fast|fuzz' -LE 'model'
  # libgomp is not instrumented: one OpenMP thread.
  build cpu-tsan $tsan_targets && OMP_NUM_THREADS=1 run_tests cpu-tsan -R "^($(echo "$tsan_targets" | sed 's/_test//g; s/ /|/g'))/"
fi

if [ "$failed" -gt 0 ]; then status=1; else status=0; fi
if [ "$skipped" -gt 0 ]; then echo "$passed passed, $failed failed, $skipped skipped"; else echo "$passed passed, $failed failed"; fi
exit $status
