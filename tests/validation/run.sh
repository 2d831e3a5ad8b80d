#!/bin/bash
# run.sh: runs the validation programs of opencontainers/runtime-tools on RUNTIME (default bin/zbox), on this machine's cgroups
# and then in a private mount view with cgroup v2 only.
#
# `run.sh build` only builds them, and `run.sh vm`, which needs no Go, runs them once on the cgroups there are, for tests/vm.
#
# Some programs pass with a runtime that does nothing. One counts only if it passes with RUNTIME and fails with /bin/false. The
# programs that must count are listed in passing-v1.txt, passing-v2.txt and passing-vm.txt; README.md tells why the others do not.
# UPDATE=1 writes the lists.
set -euo pipefail

cd "$(dirname "$0")"
here=$PWD
runtime=$(realpath "${RUNTIME:-../../bin/zbox}")
module=github.com/opencontainers/runtime-tools
[ "$(id -u)" -eq 0 ] || { echo "validation: needs root" >&2; exit 1; }

build() {
	mkdir -p bin/programs
	local source
	source=$(go list -m -f '{{.Dir}}' $module)
	# A Go program raises its soft limit of open files at its start; runtimetest is to report the one it was started with.
	local rlimit
	rlimit=$(go env GOROOT)/src/syscall/rlimit.go
	sed 's/^func init() {$/func leaveAlone() {/' "$rlimit" >bin/rlimit.go
	printf '{"Replace": {"%s": "%s"}}\n' "$rlimit" "$here/bin/rlimit.go" >bin/overlay.json
	CGO_ENABLED=0 go build -trimpath -overlay bin/overlay.json -o bin/runtimetest $module/cmd/runtimetest
	CGO_ENABLED=0 go build -trimpath -o bin/programs/ $module/validation/...
	cp -f "$source/rootfs-$(go env GOARCH).tar.gz" bin/
	chmod u+w bin/*.tar.gz
	rm -f bin/programs/util
}

# clean PROGRAM RUNTIME: it exits with 0 and has no failed point.
clean() {
	local rc=0
	(cd "$work" && TMPDIR=$work RUNTIME=$2 timeout 240 "$here/bin/programs/$1" >"$work/out" 2>&1 </dev/null) || rc=1
	[ $rc -eq 0 ] && ! grep -qE '^ *not ok|^Bail out' "$work/out"
}

# passes PROGRAM: it is clean with the runtime. One of the list is tried again: killsig sends its signal to a shell that on a busy machine has
# not set its trap yet, and other programs wait for 3 or 5 seconds and no longer.
passes() {
	local try
	for try in 1 2 3 4 5; do
		! clean "$1" "$work/runtime" || return 0
		grep -qx "$1" "$list" || return 1
		echo "validation: $view: $1 failed, try $try of 5"
	done
	return 1
}

# silent: some programs have no points and report an error as a bare diagnostic, with which they still exit with 0.
silent() {
	grep -q '^ *ok ' "$work/out" || ! grep -q '"error": "' "$work/out"
}

# discard DIRECTORY: a runtime that makes mounts in the caller's namespace (runc, for linux_ns_itype) must not have /proc and /sys
# walked through by rm.
discard() {
	local point
	awk -v dir="$1/" 'index($5 "/", dir) == 1 {print $5}' /proc/self/mountinfo | sort -r | while read -r point; do
		umount -l "$point"
	done
	rm -rf --one-file-system "$1"
}

# suite VIEW: runs all programs and compares with the view's list.
suite() {
	local view=$1 list=$here/passing-$1.txt program path id total=0 passed=0 quiet hollow=() loud=() lost won
	work=$(mktemp -d) logs=$here/bin/logs-$view state=$(mktemp -d)
	mkdir -p "$logs"
	chmod 755 "$work"
	cp bin/runtimetest bin/*.tar.gz "$work"
	printf '#!/bin/sh\nexec "%s" --root "%s" "$@"\n' "$runtime" "$state" >"$work/runtime"
	chmod +x "$work/runtime"
	: >"$work/counted"
	for path in bin/programs/*; do
		program=${path##*/}
		# The virtual machine is slow: only what must count there, and what fails with /bin/false need not be found out again.
		if [ "$view" = vm ] && [ "${UPDATE:-}" != 1 ]; then
			grep -qx "$program" "$list" || continue
		fi
		total=$((total + 1))
		# It asks for mounts in the caller's mount namespace. zbox refuses; runc makes them, and the program then removes the bundle
		# with the caller's /proc, /sys and message queues in it.
		if [ "$program" = linux_ns_itype ] && [[ ${runtime##*/} != zbox* ]]; then
			continue
		fi
		if passes "$program"; then
			passed=$((passed + 1))
			silent && quiet=1 || quiet=0
			mv "$work/out" "$logs/$program"
			if [ "$view" = vm ] && [ "${UPDATE:-}" != 1 ]; then
				echo "$program" >>"$work/counted"
			elif clean "$program" /bin/false && silent; then
				hollow+=("$program")
			elif [ $quiet = 1 ]; then
				echo "$program" >>"$work/counted"
			else
				loud+=("$program")
			fi
			continue
		fi
		mv "$work/out" "$logs/$program"
	done
	for id in $("$work/runtime" list -q); do
		"$work/runtime" delete --force "$id" || echo "validation: $view: could not delete $id"
	done
	[ "${UPDATE:-}" != 1 ] || sort "$work/counted" >"$list"
	lost=$(comm -13 <(sort "$work/counted") <(sort "$list"))
	won=$(comm -23 <(sort "$work/counted") <(sort "$list"))
	[ -z "$lost" ] || printf 'validation: %s: no longer passes: %s\n' "$view" "${lost//$'\n'/ }"
	[ -z "$won" ] || printf 'validation: %s: passes and is not listed: %s\n' "$view" "${won//$'\n'/ }"
	[ ${#hollow[@]} -eq 0 ] || printf 'validation: %s: passes with /bin/false too: %s\n' "$view" "${hollow[*]}"
	[ ${#loud[@]} -eq 0 ] || printf 'validation: %s: passes beside an error that it prints: %s\n' "$view" "${loud[*]}"
	echo "validation: $view: $passed of $total programs pass, $((passed - ${#hollow[@]})) of them fail with /bin/false," \
		"$(wc -l <"$work/counted") of those print no error"
	discard "$work"
	discard "$state"
	[ -z "$lost" ]
}

case ${1:-} in
v1 | v2 | vm)
	suite "$1"
	;;
build)
	build
	;;
"")
	build
	rc=0
	# A mount namespace of its own: linux_ns_itype asks for a container in the caller's, and leaves its mounts there.
	unshare -m --propagation private ./run.sh v1 || rc=1
	../integration/v2view.sh ./run.sh v2 || rc=1
	exit $rc
	;;
*)
	echo "usage: run.sh [build|vm]" >&2
	exit 2
	;;
esac
