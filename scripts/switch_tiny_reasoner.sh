#!/bin/sh
# Fast and slow thinking on tiny-reasoner, end to end: labels for its 8,000 training questions, a difficulty head, and what switching
# brings on its 1,000 test questions. Writes docs/results/switch-tiny-reasoner.json (and .md, .html beside the runs).
#   scripts/switch_tiny_reasoner.sh [WORK_FOLDER]      default: build/switch; a second run goes on where the first one stopped
# KVGAUGE: the binary (build/cpu/python_free_tools/kvgauge). THREADS: processor threads (2).
set -eu
cd "$(dirname "$0")/.."
work=${1:-build/switch}
kvgauge=${KVGAUGE:-build/cpu/python_free_tools/kvgauge}
threads=${THREADS:-2}
data=models/tiny-reasoner/data
result=docs/results/switch-tiny-reasoner.json
[ -x "$kvgauge" ] || { echo "switch_tiny_reasoner.sh: $kvgauge: no such program; build it or set KVGAUGE" >&2; exit 1; }
mkdir -p "$work" "$(dirname "$result")"

# Thresholds are chosen on the last 800 training questions, which train no head. What closing the think block early would give is tried on
# the first 700, behind every eighth token.
validation=800
closed=700
questions=$(wc -l < "$data/train.jsonl")
head -n "$closed" "$data/train.jsonl" > "$work/closed.jsonl"
tail -n "+$((closed + 1))" "$data/train.jsonl" > "$work/others.jsonl"
tail -n "$validation" "$data/train.jsonl" > "$work/validation.jsonl"

label() { # questions, labels, further flags
  input=$1
  output=$2
  shift 2
  resume=
  [ ! -f "$output" ] || resume=--resume
  "$kvgauge" label --input "$input" --output "$output" --dataset gsm8k --threads "$threads" --max-batch 64 --temperature 0 \
    --fast-max-tokens 64 --slow-max-tokens 512 $resume "$@"
}
started=$(date +%s)
elapsed() { echo "switch_tiny_reasoner.sh: $1 after $(($(date +%s) - started)) s" >&2; }

label "$work/closed.jsonl" "$work/closed-labels.jsonl" --checkpoints 8
elapsed "labels of closing early"
label "$work/others.jsonl" "$work/others-labels.jsonl"
elapsed "labels"
cat "$work/closed-labels.jsonl" > "$work/labels.jsonl"
head -n "$((questions - closed - validation))" "$work/others-labels.jsonl" >> "$work/labels.jsonl"

# One head for both: d of the prompt, and d of closing the think block here.
"$kvgauge" train --input "$work/labels.jsonl" --output "$work/head.safetensors" --log "$work/head.json" --threads "$threads" \
  --rows both --window 16 --layers all --part kv --pos sum --hidden 128 --optimizer adamw --weight-decay 0.0001 --lr 0.001 \
  --batch 512 --epochs 25 --early-stop 5 > "$work/head.txt"
elapsed "the head"

evaluate() { # format, output
  "$kvgauge" switch-eval --input "$data/test.jsonl" --validation "$work/validation.jsonl" --difficulty "$work/head.safetensors" \
    --dataset gsm8k --keep 0.97 --margin 0.02 --two-step-tau keep:0.98,keep:0.99 --tau-fast 8,12,15 --tau-slow 1000 --interval 4 \
    --patience 1 --min-tokens 0 --cooldown 0 --max-switches 1 --sweep --runs "$work/runs" --max-tokens 512 \
    --threads "$threads" --max-batch 64 --format "$1" --output "$2"
}
evaluate json "$result"
elapsed "the evaluation"
evaluate md "$work/report.md" 2> /dev/null
evaluate html "$work/report.html" 2> /dev/null
sed -n '/^## Strategies/,/^###/p' "$work/report.md"
echo "$result, $work/report.md, $work/report.html: $(($(date +%s) - started)) s in all"
