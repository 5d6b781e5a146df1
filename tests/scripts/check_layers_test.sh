#!/bin/sh
# The layer check passes on a clean tree and names each planted violation.
set -eu
check=$(cd "$(dirname "$0")/../.." && pwd)/scripts/check_layers.sh
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
fresh() {
  rm -rf "$tree" && mkdir -p "$tree/src/core" "$tree/src/kv" "$tree/src/ops" "$tree/src/cpu" "$tree/src/model" "$tree/src/engine" "$tree/cuda" "$tree/include/kvgauge"
  echo '#include <string>' > "$tree/include/kvgauge/error.h"
  echo '#include "kvgauge/error.h"' > "$tree/src/core/json.h"
  printf '#include "core/json.h"\n#include "kv/view.h"\n#include "ops/backend.h"\n' > "$tree/src/cpu/backend.cpp"
  printf '#include "cpu/backend.h"\n#include "model/decoder.h"\n' > "$tree/src/engine/engine.cpp"
  echo '#include "ops/backend.h"' > "$tree/cuda/backend.cu"
}
# line to plant, file to plant it in
expect_caught() {
  fresh
  echo "$1" >> "$tree/$2"
  if found=$("$check" "$tree"); then
    echo "not caught: $1 in $2"
    exit 1
  fi
  case $found in
    *"$2"*) ;;
    *) echo "caught, but not named: $1 in $2: $found"; exit 1 ;;
  esac
}
fresh
"$check" "$tree" || { echo "a clean tree was refused"; exit 1; }
expect_caught '#include "engine/engine.h"' src/core/json.h
expect_caught '#include "model/decoder.h"' src/cpu/backend.cpp
expect_caught '#include "text/tokenizer.h"' src/cpu/backend.cpp
expect_caught '#include "engine/engine.h"' src/model/decoder.cpp
expect_caught '#  include   "cpu/backend.h"' src/ops/backend.h
expect_caught '#include "model/decoder.h"' cuda/backend.cu
expect_caught '#include "core/json.h"' include/kvgauge/error.h
expect_caught '#include <nlohmann/json.hpp>' include/kvgauge/error.h
expect_caught 'auto e = cudaMalloc(&p, 1);' src/engine/engine.cpp
fresh
mkdir "$tree/src/helpers"
if "$check" "$tree" > /dev/null; then echo "an unknown folder was not caught"; exit 1; fi
echo "ok"
