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

started=$(date +%s)
elapsed() { echo "switch_tiny_reasoner.sh: $1 after $(($(date +%s) - started)) s" >&2; }

# What closing the think block early would give is tried in the first 1,500 questions, behind every fourth token.
resume=
[ ! -f "$work/labels.jsonl" ] || resume=--resume
"$kvgauge" label --input "$data/train.jsonl" --output "$work/labels.jsonl" --dataset gsm8k --temperature 0 --fast-max-tokens 64 \
  --slow-max-tokens 512 --checkpoints 4 --checkpoint-questions 1500 --threads "$threads" --max-batch 64 $resume
elapsed "labels"

# Thresholds are chosen on the last 1,000 questions, which train no head.
validation=1000
questions=$(wc -l < "$data/train.jsonl")
tail -n "$validation" "$data/train.jsonl" > "$work/validation.jsonl"
head -n "$((questions - validation))" "$work/labels.jsonl" > "$work/train-labels.jsonl"

# One head for both: d of the prompt, and d of closing the think block here. 75: wrong, and thinking on would be right.
"$kvgauge" train --input "$work/train-labels.jsonl" --output "$work/head.safetensors" --log "$work/head.json" --threads "$threads" \
  --rows both --unsafe-label 75 --both-wrong drop --prompt-share 0.25 --layers all --window 16 --part kv --pos sum --hidden 128 \
  --optimizer adamw --weight-decay 0.0001 --lr 0.001 --batch 256 --epochs 200 --early-stop 20 > "$work/head.txt"
elapsed "the head"

evaluate() { # format, output
  "$kvgauge" switch-eval --input "$data/test.jsonl" --validation "$work/validation.jsonl" --difficulty "$work/head.safetensors" \
    --dataset gsm8k --keep 0.97 --margin 0.02 --two-step-tau keep:0.985,keep:0.995 --tau-fast 4,8,12 --tau-slow 1000 --interval 4 \
    --patience 1 --min-tokens 0 --cooldown 0 --max-switches 1 --sweep --runs "$work/runs" --max-tokens 512 \
    --threads "$threads" --max-batch 64 --format "$1" --output "$2"
}
evaluate json "$result"
elapsed "the evaluation"
evaluate md "$work/report.md" 2> /dev/null
evaluate html "$work/report.html" 2> /dev/null
sed -n '/^## Strategies/,/^###/p' "$work/report.md"
echo "$result, $work/report.md, $work/report.html: $(($(date +%s) - started)) s in all"
