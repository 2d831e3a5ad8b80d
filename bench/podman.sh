#!/bin/bash
# podman.sh: measures `podman run --rm … true` with zbox beside the machine's runc, one after the other in turn, RUNS (40) times each, in
# namespaces and with storage of its own. To reach: at most 0.85 of the time with runc.
set -euo pipefail
cd "$(dirname "$0")"
[ "$(id -u)" -eq 0 ] || { echo "bench: needs root" >&2; exit 1; }
mkdir -p bin
[ -e bin/true ] || musl-gcc -Os -static -s -o bin/true true.c
if [ -z "${BENCH_PODMAN:-}" ]; then
	BENCH_PODMAN=1 exec unshare -nm --propagation private sh -c 'mount -t tmpfs tmpfs /run && mkdir /run/lock && ip link set lo up && exec ./podman.sh'
fi
zbox=$(realpath "${ZBOX:-../bin/zbox}")
export CONTAINERS_CONF=/run/containers.conf CONTAINERS_STORAGE_CONF=/run/storage.conf
printf '%s\n' '[containers]' 'default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]' 'log_driver = "k8s-file"' '[engine]' \
	'cgroup_manager = "cgroupfs"' 'events_logger = "file"' '[engine.runtimes]' "zbox = [\"$zbox\"]" >"$CONTAINERS_CONF"
printf '%s\n' '[storage]' 'driver = "overlay"' 'graphroot = "/run/graph"' 'runroot = "/run/rungraph"' >"$CONTAINERS_STORAGE_CONF"
mkdir -p /run/root/{bin,dev,etc,proc,sys}
cp bin/true /run/root/bin/true
tar -C /run/root -c . | podman import -q - bench >/dev/null

# round RUNTIME: microseconds of one run.
round() {
	local start=${EPOCHREALTIME/./}
	podman --runtime "$1" run --rm --network none bench /bin/true
	echo $((${EPOCHREALTIME/./} - start))
}

round zbox >/dev/null
round runc >/dev/null
for ((i = 0; i < ${RUNS:-40}; i++)); do
	for runtime in zbox runc; do
		echo "$runtime $(round $runtime)"
	done
done | sort -k1,1 -k2,2n | awk '{sum[$1] += $2; all[$1, ++n[$1]] = $2} END {
	for (name in n) {mean[name] = sum[name] / n[name] / 1000; median[name] = all[name, int((n[name] + 1) / 2)] / 1000
		printf "podman run --rm\t%s\tmean %.1f ms\tmedian %.1f ms\n", name, mean[name], median[name]}
	printf "podman run --rm\tzbox/runc\tmean %.3f\tmedian %.3f\n", mean["zbox"] / mean["runc"], median["zbox"] / median["runc"]}'
