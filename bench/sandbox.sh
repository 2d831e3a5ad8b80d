#!/bin/bash
# sandbox.sh: measures `zbox -c FILE -- true`, without and with network, beside `zbox run` of the same bundle without, on the machine's own
# cgroups: limits need controllers. The network is one of its own, with one link; state lies on a tmpfs, as /run does on real machines.
set -euo pipefail
cd "$(dirname "$0")"
if [ -z "${BENCH_NETWORK:-}" ]; then
	BENCH_NETWORK=1 exec unshare -nm --propagation private sh -c 'ip link set lo up && ip link add up0 type veth peer name far0 && ip link set far0 up &&
		ip link set up0 up && ip addr add 192.0.2.10/24 dev up0 && ip route add default via 192.0.2.1 && exec ./sandbox.sh'
fi
zbox=$(realpath "${ZBOX:-../bin/zbox}")
work=$(mktemp -d)
trap 'umount "$work/state"; rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir "$work/state"
mount -t tmpfs -o mode=700 state "$work/state"
"$zbox" init -c "$work/sandbox.json" busybox
jq '.network_access = true | .dns = ["192.0.2.53"] | .port_forwards = [{host: 8080, sandbox: 80}]' "$work/sandbox.json" >"$work/network.json"
# The bundle of a sandbox that is kept: that of zbox spec -c is one for other runtimes, with a hook.
"$zbox" --root "$work/state" run --keep -c "$work/sandbox.json" bench-kept -- true
cp -a "$work/state/.bundles/bench-kept/bundle" "$work/bundle"
sed -i "s|$work/state/.bundles/bench-kept/bundle|$work/bundle|g" "$work/bundle/config.json"
"$zbox" --root "$work/state" delete --force bench-kept
hyperfine --shell=none --warmup 5 --runs "${RUNS:-80}" --style none --export-json "$work/result.json" \
	--command-name run "$zbox --root $work/state run -b $work/bundle bench-run" \
	--command-name sandbox "$zbox --root $work/state -c $work/sandbox.json -- true" \
	--command-name "sandbox with network" "$zbox --root $work/state -c $work/network.json -- true" >/dev/null 2>&1
jq -r '.results as $r | $r[] | "sandbox\t\(.command)\t\(.mean * 1000 * 100 | round / 100)\t\(.median / $r[0].median * 100 | round / 100)"' "$work/result.json" |
	column -t -s $'\t' -N what,who,'mean ms','ratio of medians'
