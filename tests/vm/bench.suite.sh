#!/bin/bash
# bench.suite.sh: measures zbox beside the machine's runc and crun, with and without systemd's cgroup driver and as an ordinary user.
# RUNS (20) is how often each command is run. Quote ratios: the times are those of an emulated processor.
set -euo pipefail

cd "$(dirname "$(realpath "$0")")"
runs=${RUNS:-20}
names=(zbox crun runc)
declare -A paths=([zbox]=$PWD/zbox [crun]=/usr/bin/crun [runc]=/usr/sbin/runc)
work=$(mktemp -d /var/tmp/bench.XXXX)
chmod 755 "$work"

# bundle DIR SPEC-FLAG... -- ARG...: a bundle with runc's default configuration that runs the arguments.
bundle() {
	local dir=$1 flags=()
	shift
	while [ "$1" != -- ]; do flags+=("$1"); shift; done
	shift
	mkdir -p "$dir"/rootfs/{bin,proc,dev,sys}
	cp programs/true "$dir/rootfs/bin/true"
	cp /bin/busybox "$dir/rootfs/bin/busybox"
	rm -f "$dir/config.json"
	(cd "$dir" && runc spec "${flags[@]}")
	local args
	args=$(printf '"%s",' "$@")
	# The terminal goes, the arguments come; the rest is as runc has it.
	sed -i -z 's/"terminal": true/"terminal": false/; s#"args": \[[^]]*\]#"args": ['"${args%,}"']#' "$dir/config.json"
}

# measure TITLE NAME COMMAND [NAME COMMAND]...: the means of four rounds of hyperfine, with their ratio to the first. In rounds, so that
# what else the machine does falls on all of them.
measure() {
	local title=$1 args=() err
	shift
	while [ $# -gt 0 ]; do
		args+=(--command-name "$1" "$2")
		shift 2
	done
	: >"$work/rounds"
	for _ in 1 2 3 4; do
		err=$(hyperfine --shell=none --warmup 1 --runs $(((runs + 3) / 4)) --style none --export-csv "$work/csv" "${args[@]}" 2>&1 >/dev/null) ||
			{ echo "$title: $err" | head -5; return 0; }
		tail -n +2 "$work/csv" >>"$work/rounds"
	done
	awk -F, -v title="$title" '!($1 in mean) {names[++n] = $1} {mean[$1] += $2 / 4; deviation[$1] += $3 / 4}
		END {for (i = 1; i <= n; i++) printf "%s\t%s\t%.1f\t%.1f\t%.2f\n", title, names[i], mean[names[i]] * 1000, deviation[names[i]] * 1000,
			mean[names[i]] / mean[names[1]]}' "$work/rounds"
}

# each FORMAT: NAME and COMMAND for every runtime; @RUNTIME@ and @ID@ in the format are the runtime with its root, and an id of its own.
each() {
	local name command
	commands=()
	for name in "${names[@]}"; do
		command=${1//@RUNTIME@/"${paths[$name]} --root $state/$name"}
		command=${command//@NAME@/$name}
		commands+=("$name" "${command//@ID@/bench-$name}")
	done
}

# rows SUFFIX FLAGS BUNDLES: run, create+start+delete and exec.
rows() {
	local suffix=$1 global=$2 bundles=$3 name
	each "@RUNTIME@ $global run -b $bundles/true @ID@"
	measure "run$suffix" "${commands[@]}"
	each "sh -c '@RUNTIME@ $global create -b $bundles/true @ID@ </dev/null >/dev/null 2>&1 && @RUNTIME@ start @ID@ && @RUNTIME@ delete -f @ID@'"
	measure "create+start+delete$suffix" "${commands[@]}"
	for name in "${names[@]}"; do
		"${paths[$name]}" --root "$state/$name" ${global:+"$global"} run -d -b "$bundles/sleep" "bench-exec-$name" </dev/null >/dev/null 2>&1
	done
	each "@RUNTIME@ exec bench-exec-@NAME@ /bin/true"
	measure "exec$suffix" "${commands[@]}"
	for name in "${names[@]}"; do
		"${paths[$name]}" --root "$state/$name" delete -f "bench-exec-$name"
	done
}

# smallest: the smallest memory limit under which each runtime runs /bin/true three times.
smallest() {
	local name kib ok
	for name in "${names[@]}"; do
		for kib in 64 128 256 384 512 768 1024 2048 3072 4096 6144 8192 12288 16384 32768; do
			bundle "$work/memory" -- /bin/true
			sed -i -z 's/"resources": {/"resources": {"memory": {"limit": '$((kib * 1024))', "swap": '$((kib * 1024))'},/' "$work/memory/config.json"
			ok=1
			for _ in 1 2 3; do
				timeout 20 "${paths[$name]}" --root "$state/$name" run -b "$work/memory" bench-memory </dev/null >/dev/null 2>&1 || ok=0
				"${paths[$name]}" --root "$state/$name" delete -f bench-memory >/dev/null 2>&1 || true
			done
			if [ $ok -eq 1 ]; then
				break
			fi
		done
		[ $ok -eq 1 ] || kib=none
		echo "smallest memory.max for /bin/true, $name: $kib KiB"
	done
}

if [ "${1:-}" = rootless ]; then
	state=$XDG_RUNTIME_DIR/bench
	mkdir -p "$state"
	bundle "$work/true" --rootless -- /bin/true
	bundle "$work/sleep" --rootless -- /bin/busybox sleep 100000
	rows ", rootless" "" "$work"
	rows ", rootless, systemd" --systemd-cgroup "$work"
	rm -rf "$work" "$state"
	exit
fi
state=/run/bench
bundle "$work/true" -- /bin/true
bundle "$work/sleep" -- /bin/busybox sleep 100000
runc --version | head -1; crun --version | head -1; ./zbox --version | head -2
rows "" "" "$work"
rows ", systemd" --systemd-cgroup "$work"
smallest
# In the session of tester, where the user's systemd may move processes.
# shellcheck source=tests/vm/users.sh
. ./users.sh
runtime=/run/user/$(id -u tester)
systemd-run -q --uid=tester --wait --pipe -E XDG_RUNTIME_DIR="$runtime" -E DBUS_SESSION_BUS_ADDRESS="unix:path=$runtime/bus" -- systemd-run --user -q --wait --pipe -p Delegate=yes -E RUNS="$runs" "$(realpath "$0")" rootless
