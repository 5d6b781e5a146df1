#!/bin/sh
# Shows that the tests can fail: plants one bug at a time into a copy of one source file, links it into the property tests in place of the
# right one, and expects a test to notice. Needs the release build (scripts/test.sh). Last line: "N caught, M missed".
set -eu
cd "$(dirname "$0")/.."
root=$PWD
build=$root/build/cpu
work=$build/mutants
tests="gauge_schedule_test gauge_pages_test scheduler_property_test"
mkdir -p "$work"
# shellcheck disable=SC2086
cmake --build "$build" --target $tests > "$work/build.log" 2>&1 || { tail -n 20 "$work/build.log"; exit 1; }
caught=0; missed=0

# compile SOURCE COPY OBJECT: the build's own command for SOURCE, on COPY
compile() {
  command=$(ninja -C "$build" -t commands kvgauge_engine | grep -F -- "-c $root/$1" | sed "s|-c $root/$1|-c $2|; s| -MF [^ ]*||; s| -MD||; s| -MT [^ ]*||; s| -o [^ ]*| -o $3|")
  (cd "$build" && eval "$command") > "$work/compile.log" 2>&1
}
# link TEST OBJECT: the build's own command with OBJECT in front of the libraries, so that their member of the same name stays out
link() {
  command=$(ninja -C "$build" -t commands "$1" | tail -n 1 | sed "s| -o [^ ]*| $2 -o $work/$1|")
  (cd "$build" && eval "$command") > "$work/link.log" 2>&1
}
run_tests() {
  for test in $tests; do
    timeout 300 "$1/$test" > "$work/$test.log" 2>&1 || { noticed=$test; return 1; }  # a mutant may run wild: bounded in time
  done
}

for test in $tests; do cp "$(find "$build/tests" -name "$test" -type f | head -n 1)" "$work/$test"; done
run_tests "$work" || { echo "mutation_check.sh: the unchanged sources fail $noticed, see $work/$noticed.log" >&2; exit 1; }

# mutate NAME FILE OLD NEW: replaces the one line's part that is OLD
mutate() {
  if [ "$(grep -cF -- "$3" "$2")" != 1 ]; then
    echo "mutation_check.sh: '$3' stands $(grep -cF -- "$3" "$2") times in $2, once was needed; update this script" >&2
    exit 1
  fi
  OLD="$3" NEW="$4" awk '{ i = index($0, ENVIRON["OLD"]); if (i) $0 = substr($0, 1, i - 1) ENVIRON["NEW"] substr($0, i + length(ENVIRON["OLD"])); print }' "$2" > "$work/mutant.cpp"
  if ! compile "$2" "$work/mutant.cpp" "$work/mutant.o"; then
    echo "does not compile: $1"; tail -n 10 "$work/compile.log"; missed=$((missed + 1)); return
  fi
  for test in $tests; do
    if ninja -C "$build" -t commands "$test" | grep -qF -- "-c $root/$2"; then
      link "$test" "$work/mutant.o" || { echo "does not link: $1"; tail -n 5 "$work/link.log"; missed=$((missed + 1)); return; }
    fi
  done
  if run_tests "$work"; then
    echo "MISSED: $1"; missed=$((missed + 1))
  else
    echo "caught by $noticed: $1"; caught=$((caught + 1))
  fi
  for test in $tests; do cp "$(find "$build/tests" -name "$test" -type f | head -n 1)" "$work/$test"; done
}

kernel=src/cpu/kv_trajectory.cpp
gauge=src/gauge/trajectory_gauge.cpp
mutate "a sum whose order depends on the chunk" $kernel \
  'const int layer = args.spec.layers.empty() ? static_cast<int>(i)' 'const int layer = args.spec.layers.empty() ? static_cast<int>(item.end - item.begin > 1 ? layers - 1 - i : i)'
mutate "a page skipped within a chunk" $kernel \
  'const std::int64_t block = item.blocks[position / pages.page_tokens];' 'const std::int64_t block = item.blocks[std::max<std::int64_t>(0, position / pages.page_tokens - (item.end - item.begin > 1 && position % 64 == 63))];'
mutate "a stale e_{t-1}" $kernel \
  'if (newest || state.points == 0) state.previous.assign(e.begin(), e.end());' 'if ((newest && state.points % 7 != 3) || state.points == 0) state.previous.assign(e.begin(), e.end());'
mutate "a span off by one after a preemption" $gauge \
  'next_ = span_positions(span_, prompt_tokens_, 0).begin;' 'next_ = span_positions(span_, prompt_tokens_, 0).begin + 1;'
mutate "a leaked page" src/engine/scheduler.cpp \
  'cache_.touch(sequence.blocks);' 'cache_.touch(sequence.blocks); if (sequence.blocks.size() > 2) sequence.blocks.pop_back();'
mutate "a fork that writes a shared page" src/engine/scheduler.cpp \
  'while (pool_.references(page) > 1) {' 'while (false && pool_.references(page) > 1) {'

echo "$caught caught, $missed missed"
[ "$missed" = 0 ]
