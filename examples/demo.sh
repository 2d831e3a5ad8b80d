#!/bin/sh
# demo.sh [ZBOX]: runs examples/sandbox.json, the seed's example, and prints what the sandbox sees of its limits.
set -eu
zbox=${1:-bin/zbox}
dir=$(dirname "$0")
[ "$(id -u)" -eq 0 ] || zbox="sudo $zbox"
echo "\$ $zbox -c $dir/sandbox.json -- sh -c \"\$(cat $dir/limits.sh)\""
# shellcheck disable=SC2086 # "sudo zbox" is two words
exec $zbox -c "$dir/sandbox.json" -- sh -c "$(cat "$dir/limits.sh")"
