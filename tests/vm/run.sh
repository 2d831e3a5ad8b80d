#!/bin/bash
# run.sh: runs the integration tests on a machine with systemd and cgroup v2 alone: on this one if it is such a machine, else in the
# virtual machine of image.sh. ONLY=PATTERN runs the tests that match it (as go test's -run does), VERBOSE=1 prints all output.
# SUITE is the script beside this one to be run there instead of suite.sh, ENGINES the engines of engines.suite.sh.
set -euo pipefail

cd "$(dirname "$0")"
repository=$(realpath ../..)
image=${VM_IMAGE:-$repository/.vm}
limit=${VM_SECONDS:-1200} # it takes 6 to 8 minutes on a machine that does nothing else

native() {
	[ -d /run/systemd/system ] && [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ] && [ "$(id -u)" -eq 0 ]
}

# There is no Go in the virtual machine: it gets what is compiled here. Without cgo, so that no C library has to match.
payload() {
	mkdir -p "$1"/{tests,programs}
	cp "$repository/bin/zbox" "$1/zbox"
	cp ./*suite.sh users.sh "$1/"
	cd "$repository"
	CGO_ENABLED=0 go test -c -trimpath -tags urfave_cli_no_docs -o "$1/tests/" ./cgroup ./tests/integration ./tests/integration/sandbox ./tests/integration/security
	CGO_ENABLED=0 go build -trimpath -o "$1/programs/" ./tests/integration/probe ./tests/integration/sandbox/peer \
		./tests/integration/security/attacker
	musl-gcc -Os -static -s -o "$1/programs/true" bench/true.c
	if [ "${SUITE:-}" = engines.suite.sh ]; then
		cp bin/containerd-shim-zbox-v2 "$1/"
		for engine in ${ENGINES:-podman docker containerd cri}; do # cri is a module of its own
			(cd "tests/integration/engines/$engine" && CGO_ENABLED=0 go test -c -trimpath -tags 'urfave_cli_no_docs engines' -o "$1/engines/" .)
		done
	elif [ -z "${ONLY:-}" ]; then
		tests/validation/run.sh build
		mkdir "$1/validation"
		cp -r tests/validation/{run.sh,passing-*.txt,bin} "$1/validation/"
		rm -rf "$1"/validation/bin/logs-*
	fi
	cat >"$1/run.sh" <<-SCRIPT
		#!/bin/bash
		export ONLY=$(printf %q "${ONLY:-}") VERBOSE=${VERBOSE:-} RUNS=${RUNS:-20} ENGINES_CONTAINERS=${ENGINES_CONTAINERS:-} ENGINES_KILLS=${ENGINES_KILLS:-}
		exec ./${SUITE:-suite.sh}
	SCRIPT
	chmod +x "$1/run.sh"
	cd - >/dev/null
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
payload "$work"
if native; then
	chmod 755 "$work" # the tests run zbox as a user, too
	cd "$work"
	./run.sh
	exit
fi
./image.sh "$image"
./boot.sh "$image" "$work" "$limit"
