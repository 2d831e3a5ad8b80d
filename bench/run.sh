#!/bin/bash
# run.sh: measures zbox beside the runc and crun that are installed and beside floor.c, in one run and in a private mount view with
# cgroup v2 only. State lies on a tmpfs, as /run does on real machines. RUNS (80) is how often each command is run. Quote ratios, not times:
# machines differ and are noisy.
set -euo pipefail

cd "$(dirname "$0")"
runs=${RUNS:-80}
zbox=$(realpath "${ZBOX:-../bin/zbox}")
[ "$(id -u)" -eq 0 ] || { echo "bench: needs root" >&2; exit 1; }

if [ -z "${BENCH_VIEW:-}" ]; then
	mkdir -p bin results
	gcc -O2 -static -o bin/floor floor.c
	musl-gcc -Os -static -s -o bin/true true.c
	CGO_ENABLED=1 go build -trimpath -ldflags '-s -w -linkmode external -extldflags -static' -o bin/hello ./hello
	BENCH_VIEW=1 ../tests/integration/v2view.sh ./run.sh
	./memory.sh
	./sandbox.sh
	exit
fi

work=$(mktemp -d)
state=$work/state # the mount namespace is ours alone, see above
mkdir "$state"
mount -t tmpfs -o mode=700 state "$state"
names=(zbox)
paths=("$zbox")
for name in runc crun; do
	if path=$(command -v "$name"); then
		names+=("$name")
		paths+=("$path")
	fi
done

cleanup() {
	local i
	for i in "${!names[@]}"; do
		"${paths[$i]}" --root "$state/${names[$i]}" delete -f bench-exec >/dev/null 2>&1 || true
	done
	umount "$state"
	rm -rf "$work"
}
trap cleanup EXIT

# bundle NAME ARG...: a bundle with the default configuration that runs the arguments.
bundle() {
	local dir=$work/$1
	shift
	mkdir -p "$dir"/rootfs/{bin,proc,dev,sys}
	cp bin/true "$dir/rootfs/bin/true"
	cp "$(command -v busybox)" "$dir/rootfs/bin/busybox"
	"$zbox" spec -b "$dir"
	jq '.process.terminal = false | .process.args = $ARGS.positional
		| .linux.namespaces |= (map(select(.type != "cgroup")) + [{type: "cgroup"}])' \
		"$dir/config.json" --args -- "$@" >"$dir/new"
	mv "$dir/new" "$dir/config.json"
}

# measure TITLE NAME COMMAND [NAME COMMAND]...: one hyperfine run, and a table of the means with their ratio to the first.
measure() {
	local title=$1 args=()
	shift
	while [ $# -gt 0 ]; do
		args+=(--command-name "$1" "$2")
		shift 2
	done
	hyperfine --shell=none --warmup 5 --runs "$runs" --style none --export-json "results/$title.json" "${args[@]}" >/dev/null 2>"$work/err" ||
		{ cat "$work/err" >&2; return 1; }
	jq -r --arg title "$title" '.results as $r | $r[] | [$title, .command, (.mean * 1000 * 100 | round / 100), (.stddev * 100000 | round / 100),
		(.mean / $r[0].mean * 100 | round / 100)] | @tsv' "results/$title.json"
}

# each FORMAT: NAME and COMMAND for every runtime; @RUNTIME@ and @ID@ in the format are the runtime with its root, and a container id.
each() {
	local i
	commands=()
	for i in "${!names[@]}"; do
		local command=${1//@RUNTIME@/"${paths[$i]} --root $state/${names[$i]}"}
		commands+=("${names[$i]}" "${command//@ID@/bench-${names[$i]}}")
	done
}

bundle true /bin/true
bundle sleep /bin/busybox sleep 100000
{
	printf 'what\twho\tmean ms\tstddev\tratio to zbox\n'
	each "@RUNTIME@ run -b $work/true @ID@"
	measure run "${commands[@]}" floor "bin/floor $work/true/rootfs /sys/fs/cgroup/bench-floor"
	each "sh -c '@RUNTIME@ create -b $work/true @ID@ </dev/null >/dev/null 2>&1 && @RUNTIME@ start @ID@ && @RUNTIME@ delete -f @ID@'"
	measure create-start-delete "${commands[@]}"
	for i in "${!names[@]}"; do
		"${paths[$i]}" --root "$state/${names[$i]}" run -d -b "$work/sleep" bench-exec </dev/null >/dev/null 2>&1
	done
	each "@RUNTIME@ exec bench-exec /bin/true"
	measure exec "${commands[@]}"
	each "@RUNTIME@ state bench-exec"
	measure state "${commands[@]}" hello bin/hello
} | column -t -s $'\t'

echo
for i in "${!names[@]}"; do
	id=bench-rss
	"${paths[$i]}" --root "$state/${names[$i]}" create --pid-file "$work/pid" -b "$work/sleep" $id </dev/null >/dev/null 2>&1
	echo "RSS of the created init process, ${names[$i]}: $(awk '/^VmRSS/ {print $2, $3}' "/proc/$(cat "$work/pid")/status")"
	"${paths[$i]}" --root "$state/${names[$i]}" delete -f $id
done
echo "size of $(basename "$zbox"): $(stat -c %s "$zbox") bytes"
