#!/bin/sh
# Installs the build into an empty prefix and uses it as anyone would: the C example out of the tree with find_package and with pkg-config,
# the installed program with its embedded model, and the library's symbols against its header.
#   install_test.sh SOURCE BUILD CMAKE CC
set -eu
source=$1; build=$2; cmake=$3; cc=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_WAIT_POLICY=passive
unset KVGAUGE_DATA
fail() { echo "install_test: $*" >&2; exit 1; }

"$cmake" --install "$build" --prefix "$work/first" > "$work/install.log"
mv "$work/first" "$work/moved"  # nothing in it may name the place it was installed to
prefix=$work/moved
library=$(find "$prefix" -name libkvgauge.so)
[ -n "$library" ] || fail "no libkvgauge.so"
libraries=$(dirname "$library")
[ "$(find "$prefix/include" -type f)" = "$prefix/include/kvgauge/kvgauge.h" ] || fail "more or less than kvgauge.h is installed"

# What the header declares is what the library exports.
grep '^KVGAUGE_API' "$prefix/include/kvgauge/kvgauge.h" | sed 's/(.*//; s/.*[ *]//' | sort -u > "$work/declared"
nm -D --defined-only "$library" | awk '{ print $3 }' | sort -u > "$work/exported"
diff "$work/declared" "$work/exported" || fail "the header's functions (<) are not those that the library exports (>)"

expect='kvgauge [0-9.]*: 40 tokens, normalized R -\{0,1\}[0-9.]*, C [0-9.]*'
run() { "$1" > "$work/out" || fail "$1 failed"; grep -q "$expect" "$work/out" || fail "$1 printed: $(cat "$work/out")"; }

mkdir "$work/project"
cp "$source/examples/gauge_foreign_cache.c" "$work/project"
cat > "$work/project/CMakeLists.txt" << 'PROJECT'
cmake_minimum_required(VERSION 3.16)
project(uses_kvgauge C)
find_package(kvgauge 0.1 REQUIRED)
add_executable(by_package gauge_foreign_cache.c)
set_target_properties(by_package PROPERTIES C_STANDARD 99)
target_link_libraries(by_package PRIVATE kvgauge::kvgauge m)
PROJECT
"$cmake" -S "$work/project" -B "$work/project/build" -DCMAKE_C_COMPILER="$cc" -DCMAKE_PREFIX_PATH="$prefix" > "$work/configure.log" 2>&1 ||
  fail "find_package: $(cat "$work/configure.log")"
"$cmake" --build "$work/project/build" > "$work/build.log" 2>&1 || fail "build: $(cat "$work/build.log")"
run "$work/project/build/by_package"

export PKG_CONFIG_PATH="$libraries/pkgconfig"
[ "$(pkg-config --modversion kvgauge)" = "$("$prefix/bin/kvgauge" --version | sed -n '1s/kvgauge \([^ ]*\).*/\1/p')" ] || fail "versions differ"
# shellcheck disable=SC2046
"$cc" -std=c99 -Wall -Wextra -Wpedantic -Werror "$source/examples/gauge_foreign_cache.c" $(pkg-config --cflags --libs kvgauge) -lm \
  -Wl,-rpath,"$libraries" -o "$work/by_pkg_config"
run "$work/by_pkg_config"

# The program and its default model.
[ -s "$prefix/share/kvgauge/models/tiny-reasoner/model.safetensors" ] || fail "the embedded model is not installed"
echo '{"question":"Tom has 3 apples and buys 4. How many apples does he have?"}' |
  "$prefix/bin/kvgauge" run --input - --max-tokens 8 --threads 1 --quiet > "$work/answer.jsonl" || fail "kvgauge run failed"
grep -q '"kv_coe"' "$work/answer.jsonl" || fail "kvgauge run printed: $(cat "$work/answer.jsonl")"
echo "install_test: passed"
