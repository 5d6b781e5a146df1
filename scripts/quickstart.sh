#!/bin/sh
# Installs what is missing, builds kvgauge, and runs the main job on the embedded model: 60 shipped questions,
# thinking off and on; shows some rows, accuracy, mean tokens, and how well each score tells right answers from wrong ones.
set -eu
cd "$(dirname "$0")/.."
scripts/dependencies.sh build
mkdir -p build/cpu
echo "building (a few minutes the first time; log: build/cpu/build.log)"
if ! { cmake --preset cpu -DKVGAUGE_TESTS=OFF -DKVGAUGE_BENCH=OFF -DKVGAUGE_EMULATED=OFF && cmake --build build/cpu --target kvgauge; } > build/cpu/build.log 2>&1; then
  tail -n 30 build/cpu/build.log >&2
  echo "quickstart.sh: the build failed, see build/cpu/build.log" >&2
  exit 1
fi
grep -E '^-- GPU back end:' build/cpu/build.log | sed 's/^-- //' || true
kvgauge=build/cpu/python_free_tools/kvgauge
out=build/quickstart
rm -rf "$out"; mkdir -p "$out"
head -n 60 models/tiny-reasoner/data/test.jsonl > "$out/questions.jsonl"
for think in off on; do
  echo
  echo "== thinking $think"
  set -x
  "$kvgauge" run --input "$out/questions.jsonl" --output "$out/answers-$think.jsonl" --think "$think" --max-tokens 400 --quiet
  "$kvgauge" grade --dataset exact --input "$out/answers-$think.jsonl" --output "$out/graded-$think.jsonl"
  { set +x; } 2>/dev/null
  echo "three of the rows:"
  head -n 3 "$out/graded-$think.jsonl"
  echo
  "$kvgauge" evaluate --input "$out/graded-$think.jsonl"
done
echo
echo "Answers with their scores are in $out. Next: $kvgauge --help, README.md"
