#!/bin/sh
# Checks who includes whom. A folder of src/ may include itself, the public headers and the folders left of it in
#   core text loader kv ops cpu model gauge score control engine metrics grade difficulty measure report
# but cpu and cuda know only core, kv and ops, and engine also opens cuda; capi, which no one includes, opens back ends for gauges and scores.
# include/kvgauge includes itself and the standard library (kvgauge.h: C's) only. python_free_tools, tests and bench may include everything.
# usage: check_layers.sh [root]; prints each offending line as file:line: reason, and exits 1 if there is one.
set -eu
root=${1:-$(cd "$(dirname "$0")/.." && pwd)}
cd "$root"
order="core text loader kv ops cpu model gauge score control engine metrics grade difficulty measure report"

# Quoted includes of a folder's files, as path:line:target
quoted_includes() {
  find "$1" -type f \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) -exec grep -Hn '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' {} + 2>/dev/null |
    sed 's/^\([^:]*:[0-9]*\):.*include[[:space:]]*"\([^"]*\)".*/\1:\2/' || true
}

# folder, the layers it may include
check_folder() {
  quoted_includes "$1" | awk -F: -v allowed=" $2 " -v folder="$1" '
    {
      slash = index($3, "/")
      if (slash == 0) next                       # a neighbour in the same folder
      layer = substr($3, 1, slash - 1)
      if (layer == "kvgauge") next               # the public headers
      if (index(allowed, " " layer " ") == 0)
        print $1 ":" $2 ": " folder " includes \"" $3 "\", only" allowed "were allowed"
    }'
}

report=$(
  left=""
  for layer in $order; do
    left="$left $layer"
    [ -d "src/$layer" ] || continue
    case $layer in
      cpu) check_folder src/cpu "core kv ops cpu" ;;
      engine) check_folder src/engine "${left# } cuda" ;;  # it opens the back end that --device names
      *) check_folder "src/$layer" "${left# }" ;;
    esac
  done
  [ -d cuda ] && check_folder cuda "core kv ops cuda"
  [ -d src/capi ] && check_folder src/capi "core kv ops cpu cuda gauge score capi"
  for folder in src/*/; do
    name=$(basename "$folder")
    case " $order cuda capi " in
      *" $name "*) ;;
      *) echo "$folder: is not a layer, one of: $order was needed" ;;
    esac
  done
  if [ -d include/kvgauge ]; then
    check_folder include/kvgauge "kvgauge"
    find include/kvgauge -type f -exec grep -Hn '^[[:space:]]*#[[:space:]]*include[[:space:]]*<' {} + |
      grep -vE '<[a-z_0-9]*>|kvgauge\.h:.*<std(def|int)\.h>' | sed 's/$/  (a public header includes the standard library only)/' || true
  fi
  grep -rnE 'cudaMalloc|cudaFree' --include='*.h' --include='*.cpp' --include='*.cu' src include python_free_tools 2>/dev/null |
    sed 's/$/  (device memory is owned in cuda\/ only)/' || true
)
if [ -n "$report" ]; then
  printf '%s\n' "$report"
  exit 1
fi
