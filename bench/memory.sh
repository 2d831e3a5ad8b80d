#!/bin/bash
# memory.sh: the smallest memory limit under which each runtime runs /bin/true; needs the memory controller, of v1 or v2.
set -euo pipefail

cd "$(dirname "$0")"
zbox=$(realpath "${ZBOX:-../bin/zbox}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/rootfs/{bin,proc,dev,sys}
cp bin/true "$work/rootfs/bin/true"
"$zbox" spec -b "$work"
cp "$work/config.json" "$work/default.json"

for runtime in "$zbox" runc crun; do
	path=$(command -v "$runtime") || continue
	smallest=none
	for kib in 128 256 512 1024 2048 4096 8192 16384 32768; do
		jq --argjson limit $((kib * 1024)) '.process.terminal = false | .process.args = ["/bin/true"] | .linux.resources.memory = {limit: $limit, swap: $limit}' \
			"$work/default.json" >"$work/config.json"
		ok=1
		for _ in 1 2 3; do
			timeout 20 "$path" --root "$work/state" run -b "$work" bench-memory </dev/null >/dev/null 2>&1 || ok=0
			"$path" --root "$work/state" delete -f bench-memory >/dev/null 2>&1 || true
		done
		if [ $ok -eq 1 ]; then
			smallest="$kib KiB"
			break
		fi
	done
	echo "smallest memory limit for /bin/true, $(basename "$path"): $smallest"
done
