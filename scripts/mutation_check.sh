#!/bin/sh
# Shows that the tests can fail: plants one bug at a time into a copy of the sources, rebuilds, and expects the named tests to notice.
# usage: mutation_check.sh [WORK_FOLDER]   (default build/mutants). Last line: "N caught, M missed".
set -eu
cd "$(dirname "$0")/.."
work=${1:-build/mutants}
mkdir -p "$work"
work=$(cd "$work" && pwd)
rm -rf "$work/src"; mkdir -p "$work/src"
git ls-files -z | xargs -0 tar cf - | tar xf - -C "$work/src"
cmake -S "$work/src" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER=g++ -DKVGAUGE_BENCH=OFF > "$work/configure.log" 2>&1
caught=0; missed=0
targets="gauge_schedule_test gauge_pages_test scheduler_property_test"

build() { cmake --build "$work/build" --target $targets -j "$(nproc)" > "$work/build.log" 2>&1; }
run_tests() {
  for target in $targets; do
    test_binary=$(find "$work/build" -name "$target" -type f | head -n 1)
    # Few schedules are enough to notice, and a mutant may run wild: bounded in time.
    timeout 300 "$test_binary" > "$work/$target.log" 2>&1 || return 1
  done
}

echo "building the unchanged sources"
build || { tail -n 20 "$work/build.log"; exit 1; }
run_tests || { echo "mutation_check.sh: the unchanged sources fail their tests, see $work/*.log" >&2; exit 1; }

# mutate NAME FILE OLD NEW: replaces the one line that contains OLD
mutate() {
  file="$work/src/$2"
  cp "$file" "$work/original"
  if [ "$(grep -cF -- "$3" "$file")" != 1 ]; then
    echo "mutation_check.sh: '$3' stands $(grep -cF -- "$3" "$file") times in $2, once was needed; update this script" >&2
    exit 1
  fi
  OLD="$3" NEW="$4" awk '{ i = index($0, ENVIRON["OLD"]); if (i) $0 = substr($0, 1, i - 1) ENVIRON["NEW"] substr($0, i + length(ENVIRON["OLD"])); print }' "$work/original" > "$file"
  if ! build; then
    echo "does not compile: $1"; tail -n 10 "$work/build.log"; missed=$((missed + 1))
  elif run_tests; then
    echo "MISSED: $1"; missed=$((missed + 1))
  else
    echo "caught: $1"; caught=$((caught + 1))
  fi
  cp "$work/original" "$file"
}

kernel=src/cpu/kv_trajectory.cpp
gauge=src/gauge/trajectory_gauge.cpp
mutate "a sum whose order depends on the chunk" $kernel \
  'const int layer = args.spec.layers.empty() ? static_cast<int>(i)' 'const int layer = args.spec.layers.empty() ? static_cast<int>(item.end - item.begin > 1 ? layers - 1 - i : i)'
mutate "a skipped page" $kernel \
  'const std::int64_t block = item.blocks[position / pages.page_tokens];' 'const std::int64_t block = item.blocks[std::max<std::int64_t>(0, position / pages.page_tokens - (position % 64 == 63))];'
mutate "a stale e_{t-1}" $kernel \
  'if (newest || state.points == 0) state.previous.assign(e.begin(), e.end());' 'if ((newest && state.points % 7 != 3) || state.points == 0) state.previous.assign(e.begin(), e.end());'
mutate "a span off by one after a preemption" $gauge \
  'next_ = span_positions(span_, prompt_tokens_, 0).begin;' 'next_ = span_positions(span_, prompt_tokens_, 0).begin + 1;'
mutate "a leaked page" src/engine/scheduler.cpp \
  'cache_.touch(sequence.blocks);' 'cache_.touch(sequence.blocks); if (sequence.blocks.size() > 2) sequence.blocks.pop_back();'
mutate "a fork that writes a shared page" src/engine/scheduler.cpp \
  'while (pool_.references(page) > 1) {' 'while (false && pool_.references(page) > 1) {'
mutate "a score kept across a preemption" $gauge \
  'if (preemptions != preemptions_) {' 'if (preemptions != preemptions_ && false) {'

echo "$caught caught, $missed missed"
[ "$missed" = 0 ]
