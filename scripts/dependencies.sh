#!/bin/sh
# Installs the Debian packages that a build needs, if any is missing. usage: dependencies.sh [build] [test] [all]
set -eu
packages="g++ cmake ninja-build pkg-config libfmt-dev libspdlog-dev nlohmann-json3-dev libcli11-dev libpcre2-dev libutf8proc-dev libdnnl-dev"
for part in "$@"; do
  case "$part" in
    build) ;;
    test) packages="$packages libgtest-dev librapidcheck-dev libbenchmark-dev libonig-dev" ;;
    all) packages="$packages ccache clang-14 clang libclang-rt-14-dev libomp-14-dev lld python3-pip python3-venv unzip ca-certificates" ;;
    *) echo "dependencies.sh: '$part' is unknown, one of build, test, all was needed" >&2; exit 2 ;;
  esac
done
missing=""
for package in $packages; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
echo "installing:$missing"
as_root=""
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo "dependencies.sh: not root and no sudo; install by hand:$missing" >&2; exit 1; }
  as_root="sudo"
fi
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
# shellcheck disable=SC2086
$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
