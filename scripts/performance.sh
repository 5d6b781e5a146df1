#!/bin/sh
# Measures our side of every figure of docs/performance.md, on a machine that does nothing else. Results: build/performance.
#   scripts/performance.sh [STEP...]     all steps, in the order of the list, or those named:
#     limits    what the machine can read and multiply                                          (a minute)
#     latency   prefill of 512, decode of 1, 16 and 32 sequences, decode at depth 1,024; three models, three types
#     products  the matrix products of a step alone, for 1, 16, 32 and 512 rows: the rate that steps are held against
#     overhead  what gauges cost, in pairs                                                      (half an hour)
#     batch     time of a step over the number of sequences, 1 to 128
#     context   time of a step over the context, 128 to 8k
#     rows      1,000, 10,000 and 100,000 short rows scored: time per row, peak memory
#     prefix    a shared instruction of 1,000 tokens, with and without the prefix cache
#     shape     the same requests with steps of 64 to 1,024 tokens and batches of 8 to 128
#     rates     requests at 1 to 16 a second: what their first token and the others take
#     start     from nothing to the first token
#     memory    bytes by formula, for all known shapes
#     job       questions answered and scored in one pass; QUESTIONS=FILE names them (JSONL, as `kvgauge run` reads), the first 200 count
# QUICK=1 takes the smallest sizes: whether everything runs, not how fast. REPEATS (5), THREADS (all cores).
set -eu
cd "$(dirname "$0")/.."
out=build/performance
kvgauge=build/cpu/python_free_tools/kvgauge
benches=build/cpu/bench
smollm2=${KVGAUGE_MODELS:-$HOME/.cache/kvgauge/models}/SmolLM2-135M-Instruct.Q4_1.gguf
threads=${THREADS:-$(nproc)}
repeats=${REPEATS:-5}
models="SmolLM2-135M qwen2.5-0.5b qwen3-0.6b"
types="BF16 Q8_0 Q4_0"
prompt=512 tokens=64 batches=1,16,32 depth=1024 pairs=80 rows="1000 10000 100000" questions=200
product_rows=1,16,32,512 all_batches="1-128*2" all_depths="128-4096*2,8032" instruction=1000 sharing=100 few=
shape_rounds=3 step_sizes="64 128 256 512 1024" batch_sizes="8 16 32 64 128" requests=64 rates=1,2,4,8,16
if [ -n "${QUICK-}" ]; then
  repeats=1 models=SmolLM2-135M types="BF16 Q4_0" prompt=64 tokens=4 batches=1,2 depth=64 pairs=6 rows="50 100" questions=3
  product_rows=1,2 all_batches=1,2 all_depths=32,64 instruction=64 sharing=4 shape_rounds=1 step_sizes="64 512" batch_sizes="2 4" requests=4 rates=8,16 few="-n 2 -p 16 -b 1 --warmup 0 --interval 2"
fi

steps="limits latency products overhead batch context rows prefix shape rates start memory job"
for step in "$@"; do
  case " $steps " in
    *" $step "*) ;;
    *) echo "performance.sh: '$step' is unknown, one of $steps was needed" >&2; exit 2 ;;
  esac
done
[ $# -eq 0 ] || steps=$*

mkdir -p "$out/models"
if ! { cmake --preset cpu && cmake --build build/cpu --target kvgauge random_gguf_bench machine_limits_bench; } > "$out/build.log" 2>&1; then
  tail -n 30 "$out/build.log" >&2
  echo "performance.sh: the build failed, see $out/build.log" >&2
  exit 1
fi
[ -f "$smollm2" ] || scripts/fetch_models.sh

# model_file MODEL TYPE: makes it where it is missing and prints its name
model_file() {
  file=$out/models/$1-$2.gguf
  if [ ! -f "$file" ]; then
    if [ "$1" = SmolLM2-135M ]; then
      "$benches/random_gguf_bench" --weights "$smollm2" --type "$2" --output "$file"
    else
      "$benches/random_gguf_bench" --shape "$1" --type "$2" --tokenizer "$smollm2" --output "$file"
    fi
  fi
  echo "$file"
}

# measure NAME MODEL-FILE BENCHMARK FLAGS...: the table on the screen and in NAME.md, all fields in NAME.json
measure() {
  name=$1 file=$2
  shift 2
  echo "kvgauge bench $* --model $file"
  "$kvgauge" bench "$@" --model "$file" --threads "$threads" --format json --output "$out/$name.json.new" --quiet
  mv "$out/$name.json.new" "$out/$name.json"
  fields "$out/$name.json"
}

# The numbers that docs/performance.md quotes, a line for each row of a result.
fields() {
  awk '
    /^    \{/ { line = "" }
    /"(n_prompt|n_gen|batch|depth|phase|scores|prefix_len|prefix_hit_share|prefill_tok_s|decode_tok_s|median_tpot_ms|median_ttft_ms|p99_ttft_ms|p99_tpot_ms|request_rate|output_throughput|duration|off_tok_s|on_tok_s|ratio|model|dtype|context|weights_bytes|kv_bytes|gauge_bytes|hidden_bytes|factor|sequences|sequences_with_hidden)":/ {
      if (match($0, /^      "/)) { gsub(/"/, ""); sub(/,$/, ""); sub(/^ +/, ""); line = line (line == "" ? "  " : "; ") $0 }
    }
    /"ratio_ci95"/ { inside = 1; next }
    inside && /[0-9]/ { gsub(/[ ,]/, ""); line = line (inside == 1 ? "; ci95: " : " to ") $0; inside = inside == 1 ? 2 : 0 }
    /^    \}/ { print line }
  ' "$1"
}

# peak_of COMMAND...: runs it; sets `seconds` and `peak` (MiB of memory at most)
peak_of() {
  begin=$(date +%s.%N)
  "$@" &
  pid=$!
  peak=0
  while kill -0 "$pid" 2> /dev/null; do
    now=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status" 2> /dev/null || true)
    [ -z "$now" ] || peak=$now
    sleep 0.1
  done
  wait "$pid"
  seconds=$(echo "$begin $(date +%s.%N)" | awk '{ printf "%.2f", $2 - $1 }')
  peak=$((peak / 1024))
}

limits() {
  "$benches/machine_limits_bench" --threads "$threads" --repeats "$repeats" | tee "$out/limits.md"
}

latency() {
  for model in $models; do
    for type in $types; do
      file=$(model_file "$model" "$type")
      measure "prefill-$model-$type" "$file" latency -p "$prompt" -n 1 -b 1 -r "$repeats"
      measure "decode-$model-$type" "$file" latency -p 16 -n "$tokens" -b "$batches" -r "$repeats"
      measure "depth-$model-$type" "$file" latency -p 16 -n "$tokens" -b 1 -d "$depth" -r "$repeats"
    done
  done
}

products() {
  for model in $models; do
    for type in $types; do
      file=$(model_file "$model" "$type")
      echo "kvgauge bench kernels --measure -b $product_rows --context 64 --model $file"
      "$kvgauge" bench kernels --measure -b "$product_rows" --context 64 --model "$file" --threads "$threads" --format json --output "$out/products-$model-$type.json" --quiet
      awk '
        { gsub(/[",]/, "") }
        $1 == "batch:" { rows = $2 }
        $1 == "operation:" { linear = $2 == "linear"; head = $3 == "head" }
        $1 == "measured_us:" && linear { if (head) heads[rows] = $2; else { if (!(rows in layers)) order[++n] = rows; layers[rows] += $2 } }
        END { for (i = 1; i <= n; ++i) { r = order[i]; printf "  rows: %d; products of the layers, ms: %.2f; head, ms: %.2f\n", r, layers[r] / 1000, heads[r] / 1000 } }
      ' "$out/products-$model-$type.json"
    done
  done
}

overhead() {
  file=$(model_file SmolLM2-135M BF16)
  # shellcheck disable=SC2086  # words
  measure overhead "$file" overhead --pairs "$pairs" $few --scores 'kv-coe;kv-coe,prob;difficulty;coe'
  # a cost of a third of one per cent, told from a limit of one: more and shorter pairs
  # shellcheck disable=SC2086
  measure overhead-kv-coe "$file" overhead --pairs "$((3 * pairs))" ${few:--n 8} --phase decode --scores kv-coe
  # shellcheck disable=SC2086
  measure overhead-alternatives "$file" overhead --pairs "$pairs" ${few:--b 1} --phase decode --scores 'second-pass;copy-kv;copy-new-kv;store-hidden'
  # shellcheck disable=SC2086
  measure overhead-tiny-reasoner models/tiny-reasoner overhead --pairs "$pairs" $few
}

batch() {
  measure batch "$(model_file SmolLM2-135M BF16)" latency -p 16 -n "$tokens" -b "$all_batches" -r "$repeats"
}

context() {
  measure context "$(model_file SmolLM2-135M BF16)" latency -p 16 -n 16 -b 1 -d "$all_depths" -r "$repeats"
}

rows() {
  for count in $rows; do
    awk -v n="$count" 'BEGIN { for (i = 0; i < n; ++i) { a = i % 97; b = i % 89
      printf "{\"id\":\"%d\",\"prompt\":\"What is %d + %d?\",\"response\":\"The answer is %d.\"}\n", i, a, b, a + b } }' > "$out/rows.jsonl"
    rm -f "$out/rows-scored.jsonl" "$out/rows-scored.jsonl.manifest.json"
    peak_of "$kvgauge" score --input "$out/rows.jsonl" --output "$out/rows-scored.jsonl" --threads "$threads" --quiet
    echo "$count $seconds $peak" | awk '{ printf "  rows: %d; s: %s; us per row: %.1f; peak MiB: %d\n", $1, $2, 1e6 * $2 / $1, $3 }'
  done | tee "$out/rows.txt"
  rm -f "$out/rows.jsonl" "$out/rows-scored.jsonl" "$out/rows-scored.jsonl.manifest.json"
}

prefix() {
  file=$(model_file SmolLM2-135M BF16)
  measure prefix "$file" throughput --prefix-len "$instruction" -p 32 -n 1 --num-prompts "$sharing" --scores none
  measure prefix-off "$file" throughput --prefix-len "$instruction" -p 32 -n 1 --num-prompts "$sharing" --scores none --no-prefix-cache
}

# Lengths vary by half around 128 and 64 tokens, as they do in a batch evaluation.
shape() {
  file=$(model_file SmolLM2-135M BF16)
  round=0
  while [ $((round += 1)) -le "$shape_rounds" ]; do
    for size in $step_sizes; do
      measure "shape-step-$size-$round" "$file" throughput --num-prompts "$requests" -p 128 -n 64 --random-range-ratio 0.5 --scores kv-coe --step-tokens "$size" --chunk-tokens "$size"
    done
    for size in $batch_sizes; do
      measure "shape-batch-$size-$round" "$file" throughput --num-prompts "$requests" -p 128 -n 64 --random-range-ratio 0.5 --scores kv-coe --max-batch "$size"
    done
  done
}

rates() {
  measure rates "$(model_file SmolLM2-135M BF16)" throughput --num-prompts "$requests" -p 128 -n 64 --random-range-ratio 0.5 --scores kv-coe --request-rate "$rates"
}

start() {
  echo '{"prompt":"Hello"}' > "$out/start.jsonl"
  for run in 1 2 3; do
    rm -f "$out/start-answer.jsonl" "$out/start-answer.jsonl.manifest.json"
    peak_of "$kvgauge" run --model "$smollm2" --input "$out/start.jsonl" --output "$out/start-answer.jsonl" --max-tokens 1 --threads "$threads" --quiet
    echo "  run: $run; s: $seconds; peak MiB: $peak"
  done | tee "$out/start.txt"
}

memory() {
  echo "kvgauge bench memory --shape all"
  "$kvgauge" bench memory --shape all --format json --output "$out/memory.json" --quiet
  fields "$out/memory.json"
}

job() {
  if [ -z "${QUESTIONS-}" ]; then
    echo "  left out: QUESTIONS names no file of questions"
    return
  fi
  head -n "$questions" "$QUESTIONS" > "$out/questions.jsonl"
  rm -f "$out/answers.jsonl" "$out/answers.jsonl.manifest.json"
  peak_of "$kvgauge" run --model "$smollm2" --dtype bf16 --scores kv-coe --input "$out/questions.jsonl" --output "$out/answers.jsonl" --output-ids \
    --max-tokens 256 --threads "$threads" --quiet
  echo "  questions: $questions; s: $seconds; peak MiB: $peak" | tee "$out/job.txt"
}

echo "$(date -u +%FT%TZ); load before: $(cut -d ' ' -f 1-3 /proc/loadavg); $(git rev-parse --short HEAD 2> /dev/null || echo 'no git')" | tee "$out/when.txt"
for step in $steps; do
  echo "== $step"
  "$step"
done
