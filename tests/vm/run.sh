#!/bin/bash
# run.sh: runs the integration tests on a machine with systemd and cgroup v2 alone: on this one if it is such a machine, else in the
# virtual machine of image.sh. ONLY=PATTERN runs the tests that match it (as go test's -run does), VERBOSE=1 prints all output.
# SUITE is the script beside this one to be run there instead of suite.sh. Each of ENGINES gets a virtual machine of its own with
# engines.suite.sh, podman two, and VM_SECONDS is the limit of each. RUNTIME is a runtime of that machine, as a control.
set -euo pipefail

cd "$(dirname "$0")"
repository=$(realpath ../..)
image=${VM_IMAGE:-$repository/.vm}
limit=${VM_SECONDS:-3000} # it takes 6 to 8 minutes on a machine that does nothing else, and a busy one is to end it, too
read -ra engines <<<"${ENGINES:-podman:1/2 podman:2/2 docker containerd cri}"

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
		cp -r bin/containerd-shim-zbox-v2 docs "$1/"
		local engine
		for engine in "${engines[@]%:*}"; do # cri is a module of its own
			(cd "tests/integration/engines/$engine" && CGO_ENABLED=0 go test -c -trimpath -tags 'urfave_cli_no_docs engines' -o "$1/engines/" .)
		done
	elif [ -z "${ONLY:-}" ]; then
		tests/validation/run.sh build
		mkdir "$1/validation"
		cp -r tests/validation/{run.sh,passing-*.txt,bin} "$1/validation/"
		rm -rf "$1"/validation/bin/logs-*
	fi
	cd - >/dev/null
}

# run [ARG]: runs the payload's suite with the argument.
run() {
	cat >"$work/run.sh" <<-SCRIPT
		#!/bin/bash
		export ONLY=$(printf %q "${ONLY:-}") VERBOSE=${VERBOSE:-} RUNS=${RUNS:-20} RUNTIME=${RUNTIME:-} ENGINES_CONTAINERS=${ENGINES_CONTAINERS:-} ENGINES_KILLS=${ENGINES_KILLS:-}
		exec ./${SUITE:-suite.sh} $*
	SCRIPT
	chmod +x "$work/run.sh"
	if native; then
		(cd "$work" && CRIU=optional ./run.sh)
	else
		./boot.sh "$image" "$work" "$limit"
	fi
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
payload "$work"
if native; then
	chmod 755 "$work" # the tests run zbox as a user, too
else
	./image.sh "$image"
fi
if [ "${SUITE:-}" != engines.suite.sh ]; then
	run
	exit
fi
rc=0
for engine in "${engines[@]}"; do
	run "$engine" || rc=1
done
exit $rc
