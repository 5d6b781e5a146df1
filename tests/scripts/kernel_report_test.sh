#!/bin/sh
# kernel_report on a small build folder: quiet about a clean one, and each planted fault is named and ends it with 1.
set -eu
report=$(cd "$(dirname "$0")/../.." && pwd)/scripts/kernel_report
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
norm=_ZN7kvgauge4cuda15rms_norm_kernelIfLb1EEEvNS0_17RmsNormKernelArgsE
scalar_norm=_ZN7kvgauge4cuda15rms_norm_kernelIfLb0EEEvNS0_17RmsNormKernelArgsE
sample=_ZN7kvgauge4cuda13sample_kernelENS0_16SampleKernelArgsE

# symbol, a load
entry() { printf '.visible .entry %s(\n\t.param .align 8 .b8 %s_param_0[48]\n)\n{\n\tld.param.v2.u64 {%%rd1, %%rd2}, [%s_param_0];\n\t%s\n\tret;\n}\n' "$1" "$1" "$1" "$2"; }
# symbol, architecture, stack, spill stores
resources() {
  printf "ptxas info    : Compiling entry function '%s' for 'sm_%s'\n" "$1" "$2"
  printf 'ptxas info    : Function properties for %s\n    %s bytes stack frame, %s bytes spill stores, 0 bytes spill loads\n' "$1" "$3" "$4"
  printf 'ptxas info    : Used 40 registers, used 1 barriers, 128 bytes smem\n'
}
fresh() {
  rm -rf "$build" && mkdir -p "$build/ptx"
  printf 'cuda/rms_norm.cu\ncuda/sample.cu\n' > "$build/ptx/sources.txt"
  for sm in 80 90; do
    { entry $norm 'ld.global.nc.v4.f32 {%f1, %f2, %f3, %f4}, [%rd3];'; entry $scalar_norm 'ld.global.f32 %f1, [%rd3];'; } > "$build/ptx/rms_norm.sm$sm.ptx"
    entry $sample 'ld.global.f32 %f1, [%rd3];' > "$build/ptx/sample.sm$sm.ptx"
    { resources $norm $sm 0 0; resources $scalar_norm $sm 0 0; } > "$build/ptx/rms_norm.sm$sm.resources.txt"
    resources $sample $sm 32 0 > "$build/ptx/sample.sm$sm.resources.txt"  # a stack is allowed outside of gauge, attention and norm
  done
  for kernel in $norm $scalar_norm $sample; do
    for order in forward reverse random; do printf '%s\temulated\t%s\n' $kernel $order; done
    for sm in 80 90; do printf '%s\tptx sm_%s\t-\n' $kernel $sm; done
  done > "$build/kernel_records.txt"
  printf 'rms_norm_kernel<float, true>\tptx sm_80\t3 rows\t1020\t1000\n' > "$build/kernel_bytes.txt"
}
# what the report must say
expect_problem() {
  if found=$("$report" --build "$build"); then echo "not reported: $1"; exit 1; fi
  case $found in *"PROBLEM $1"*) ;; *) echo "not named: $1 in: $found"; exit 1 ;; esac
  if "$report" --json --build "$build" > /dev/null; then echo "--json ended well in spite of: $1"; exit 1; fi
}
expect_line() { case $found in *"$1"*) ;; *) echo "'$1' is not in: $found"; exit 1 ;; esac; }

fresh
found=$("$report" --build "$build") || { echo "a clean build was refused: $found"; exit 1; }
expect_line 'executed: emulated forward, emulated reverse, emulated random, ptx sm_80, ptx sm_90'
expect_line 'sm_90: 40 registers, 0 bytes spilled, stack 32, static shared memory 128'
expect_line '3 instantiations, 0 problems'
if command -v c++filt > /dev/null; then
  expect_line 'cuda/rms_norm.cu: rms_norm_kernel<float, true>'
  expect_line 'moved: 1020 bytes of at least 1000 (1.020), 3 rows, ptx sm_80'
fi
found=$("$report" --json --build "$build")
expect_line '"executors":["emulated forward","emulated reverse","emulated random","ptx sm_80","ptx sm_90"]'
expect_line '"sm_80":{"registers":40,"spill_bytes":0,"stack_bytes":0,"static_shared_bytes":128,"loads_16_bytes":true}'

fresh; grep -v "$sample.*random" "$build/kernel_records.txt" > "$build/kept"; mv "$build/kept" "$build/kernel_records.txt"
expect_problem 'not executed: emulated random'
fresh; grep -v "ptx" "$build/kernel_records.txt" > "$build/kept"; mv "$build/kept" "$build/kernel_records.txt"
expect_problem 'not executed: ptx sm_80, ptx sm_90'
fresh; rm "$build/kernel_records.txt"
expect_problem 'not executed: emulated forward, emulated reverse, emulated random, ptx sm_80, ptx sm_90'
fresh; resources $sample 90 0 8 > "$build/ptx/sample.sm90.resources.txt"
expect_problem 'sm_90: 8 bytes of spills'
fresh; { resources $norm 80 16 0; resources $scalar_norm 80 0 0; } > "$build/ptx/rms_norm.sm80.resources.txt"
expect_problem 'sm_80: a stack of 16 bytes in local memory'
fresh; resources $norm 80 0 0 > "$build/ptx/rms_norm.sm80.resources.txt"
expect_problem 'sm_80: no account of resources'
if command -v c++filt > /dev/null; then
  fresh; { entry $norm 'ld.global.v2.f32 {%f1, %f2}, [%rd3];'; entry $scalar_norm 'ld.shared.v4.f32 {%f1, %f2, %f3, %f4}, [%rd3];'; } > "$build/ptx/rms_norm.sm90.ptx"
  expect_problem 'sm_90: no 16-byte loads'
fi

# Without nvcc there is neither PTX nor a verdict, only what ran.
fresh; rm "$build"/ptx/*.ptx "$build"/ptx/*.resources.txt
found=$("$report" --build "$build") || { echo "a build without nvcc was refused"; exit 1; }
expect_line 'no nvcc in this build'
expect_line 'executed: emulated forward, emulated reverse, emulated random'
if "$report" --build "$build/nowhere" 2> /dev/null; then echo "a folder without a build was accepted"; exit 1; fi
if "$report" --jsno 2> /dev/null; then echo "an unknown option was accepted"; exit 1; fi
echo "ok"
