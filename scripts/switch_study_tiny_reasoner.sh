#!/bin/sh
# The paper's appendix B on tiny-reasoner: allocations of equal budget (layers x window), and window, layer, part and training ablations, each with
# both strategies. Goes on from scripts/switch_tiny_reasoner.sh: run that first. Writes docs/results/switch-study-tiny-reasoner.json (and .md in the work folder).
#   scripts/switch_study_tiny_reasoner.sh [WORK_FOLDER]      default: build/switch
# KVGAUGE: the binary (build/cpu/python_free_tools/kvgauge). THREADS: processor threads (2).
set -eu
cd "$(dirname "$0")/.."
work=${1:-build/switch}
kvgauge=${KVGAUGE:-build/cpu/python_free_tools/kvgauge}
threads=${THREADS:-2}
result=docs/results/switch-study-tiny-reasoner.json
[ -f "$work/train-labels.jsonl" ] || { echo "switch_study_tiny_reasoner.sh: $work/train-labels.jsonl: no such file; run scripts/switch_tiny_reasoner.sh first" >&2; exit 1; }
heads=$work/heads
mkdir -p "$heads"
started=$(date +%s)

train() { # name, flags
  name=$1
  shift
  [ -f "$heads/$name.safetensors" ] || "$kvgauge" train --input "$work/train-labels.jsonl" --output "$heads/$name.safetensors" --threads "$threads" \
    --hidden 128 --optimizer adamw --weight-decay 0.0001 --lr 0.001 --batch 256 --epochs 200 --early-stop 20 "$@" > "$heads/$name.txt"
}
both="--rows both --unsafe-label 75 --both-wrong drop --prompt-share 0.25"
# Equal budgets: layers x window = 96.
train 6x16 $both --layers all --window 16
train 3x32 $both --layers last3 --window 32
train 1x96 $both --layers 4 --window 96
# Window, layers, part, pooling.
train 6x8 $both --layers all --window 8
train 6x48 $both --layers all --window 48
train first3x16 $both --layers 0-2 --window 16
train last3x16 $both --layers last3 --window 16
train 6x16-v $both --layers all --window 16 --part v
train 6x16-k $both --layers all --window 16 --part k
train 6x16-mean $both --layers all --window 16 --pos mean
# The paper's recipe for the rows: prompts only.
train 6x16-prompts --rows prompt --layers all --window 16
echo "switch_study_tiny_reasoner.sh: heads after $(($(date +%s) - started)) s" >&2

others=
for name in 3x32 1x96 6x8 6x48 first3x16 last3x16 6x16-v 6x16-k 6x16-mean 6x16-prompts; do
  others=$others${others:+,}$heads/$name.safetensors
done
evaluate() { # format, output
  "$kvgauge" switch-eval --input models/tiny-reasoner/data/test.jsonl --validation "$work/validation.jsonl" --dataset gsm8k \
    --difficulty "$heads/6x16.safetensors" --heads "$others" --keep 0.97 --margin 0.02 --two-step-tau keep:0.985 --tau-fast 4,8,12 \
    --tau-slow 1000 --interval 4 --patience 1 --min-tokens 0 --cooldown 0 --max-switches 1 --runs "$work/runs" --max-tokens 512 \
    --threads "$threads" --max-batch 64 --format "$1" --output "$2"
}
evaluate json "$result"
evaluate md "$work/study.md" 2> /dev/null
sed -n '/^## Heads/,/^##[^#]*$/p' "$work/study.md"
echo "$result, $work/study.md: $(($(date +%s) - started)) s in all"
