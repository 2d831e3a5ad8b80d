#!/bin/bash
# containerd.sh: measures containerd-shim-zbox-v2 beside containerd's own shim with zbox and with the runc that is installed: `ctr run --rm
# IMAGE true`, interleaved, in RUNS (60) rounds, and what a shim with one container takes of memory. containerd is Debian's, with a root and
# sockets of its own on a private /run. Quote ratios, not times.
set -euo pipefail

cd "$(dirname "$0")/.."
runs=${RUNS:-60}
zbox=$(realpath "${ZBOX:-bin/zbox}")
[ "$(id -u)" -eq 0 ] || { echo "bench: needs root" >&2; exit 1; }

if [ -z "${BENCH_VIEW:-}" ]; then
	BENCH_VIEW=1 exec unshare -m -n --propagation private sh -c 'mount -t tmpfs tmpfs /run && exec bench/containerd.sh'
fi

dir=/run/bench
mkdir -p "$dir"
cat >"$dir/config.toml" <<EOF
version = 2
root = "$dir/root"
state = "$dir/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
address = "$dir/containerd.sock"
EOF
export CONTAINERD_ADDRESS=$dir/containerd.sock
# The namespace is the parent of the containers' cgroups.
export CONTAINERD_NAMESPACE=zbox-bench-$$
PATH=$(dirname "$zbox"):$PATH containerd -c "$dir/config.toml" >"$dir/log" 2>&1 &
daemon=$!

cleanup() {
	kill "$daemon"
	wait "$daemon" || true
	rmdir /sys/fs/cgroup/{,*/}"$CONTAINERD_NAMESPACE" 2>/dev/null || true
}
trap cleanup EXIT
until ctr version >/dev/null 2>&1; do kill -0 "$daemon"; done

# An image of busybox, as docker save writes it.
mkdir -p "$dir/rootfs/bin" "$dir/image"
cp "$(command -v busybox)" "$dir/rootfs/bin/busybox"
for name in sleep true; do ln -s busybox "$dir/rootfs/bin/$name"; done
tar -C "$dir/rootfs" -cf "$dir/image/layer.tar" .
digest=$(sha256sum "$dir/image/layer.tar" | cut -d ' ' -f 1)
printf '{"architecture":"%s","os":"linux","config":{"Env":["PATH=/bin"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
	"$(dpkg --print-architecture)" "$digest" >"$dir/image/config.json"
printf '[{"Config":"config.json","RepoTags":["bench:latest"],"Layers":["layer.tar"]}]' >"$dir/image/manifest.json"
tar -C "$dir/image" -cf "$dir/image.tar" config.json layer.tar manifest.json
ctr images import "$dir/image.tar" >/dev/null
image=$(ctr images ls -q)

names=(own zbox runc)
declare -A flags=(
	[own]="--runtime io.containerd.zbox.v2"
	[zbox]="--runc-binary $zbox"
	[runc]="--runc-binary $(command -v runc)"
)

# once NAME ID: runs true in a container and prints the time that it took, in microseconds.
once() {
	local begin=${EPOCHREALTIME/./}
	# shellcheck disable=SC2086 # several words
	ctr run --rm ${flags[$1]} "$image" "$2" true
	echo $((${EPOCHREALTIME/./} - begin))
}

# median FILE: of the numbers in it.
median() {
	sort -n "$1" | awk '{ n[NR] = $1 } END { print n[int((NR + 1) / 2)] }'
}

# memory PID...: the proportional set size of the processes together, in KiB.
memory() {
	local pid
	for pid in "$@"; do cat "/proc/$pid/smaps_rollup"; done | awk '$1 == "Pss:" { sum += $2 } END { print sum }'
}

for name in "${names[@]}"; do
	for i in 1 2 3; do once "$name" "warm-$name-$i" >/dev/null; done
done
for ((i = 0; i < runs; i++)); do
	for name in "${names[@]}"; do once "$name" "run-$name-$i" >>"$dir/times-$name"; done
done

# One at a time: shims of the same program share its pages. The second figure is that of a shim that has been idle for some time.
for name in "${names[@]}"; do
	# shellcheck disable=SC2086 # several words
	ctr run -d --pid-file "$dir/pid" ${flags[$name]} "$image" "memory-$name" sleep 1000
	init=$(cat "$dir/pid")
	shim=$(awk '$1 == "PPid:" { print $2 }' "/proc/$init/status")
	sleep 3
	memory "$shim" "$init" >"$dir/memory-$name"
	sleep 40
	memory "$shim" "$init" >"$dir/idle-$name"
	ctr tasks rm -f "memory-$name" >/dev/null 2>&1
	ctr containers rm "memory-$name"
done

printf '%-34s %12s %9s %12s %12s\n' '' 'run --rm true' 'of runc' 'PSS, 3 s' 'PSS, 43 s'
slowest=$(median "$dir/times-runc")
for name in "${names[@]}"; do
	case $name in
	own) title="containerd-shim-zbox-v2" ;;
	*) title="containerd-shim-runc-v2 with $name" ;;
	esac
	time=$(median "$dir/times-$name")
	printf '%-34s %10s ms %9s %8s KiB %8s KiB\n' "$title" "$(awk "BEGIN { printf \"%.1f\", $time / 1000 }")" \
		"$(awk "BEGIN { printf \"%.2f\", $time / $slowest }")" "$(cat "$dir/memory-$name")" "$(cat "$dir/idle-$name")"
done
