#!/bin/bash
# suite.sh: runs the compiled tests beside it, on a machine with systemd and cgroup v2 alone, as root. It needs no Go. A line for each
# test comes as soon as it ends; what a failed one has printed follows behind the last of its package.
set -uo pipefail

cd "$(dirname "$(realpath "$0")")" || exit
export RUNTIME=$PWD/zbox PROGRAMS=$PWD/programs

# shellcheck source=tests/vm/users.sh
. ./users.sh

# MACHINE=systemd: a test that needs such a machine must not skip here.
export MACHINE=systemd

# As udev's rules have it; the virtual machine has no udev.
chmod 666 /dev/net/tun

# What these test does not depend on the machine, and takes minutes where the processor is emulated, or needs the repository.
skip='TestUsage|TestThousandCycles|TestTwoHundredSandboxes|TestSandboxKilledAtAnyMoment|TestSandboxLeavesNothingWhenTheOtherEndIsSilent'
declare -A select=([security]='Cgroup|Rootless')

rc=0
for binary in tests/*.test; do
	name=$(basename "$binary" .test)
	start=$SECONDS
	"$binary" -test.v -test.skip "$skip" -test.run "${ONLY:-${select[$name]:-.}}" -test.timeout 40m 2>&1 </dev/null | tee log | grep --line-buffered -E '^--- |^panic: '
	if [ "${PIPESTATUS[0]}" -eq 0 ]; then
		result=ok
	else
		result=FAIL
		rc=1
	fi
	if [ $result = FAIL ] || [ "${VERBOSE:-}" = 1 ]; then
		grep -vE '^=== |^ *--- (PASS|SKIP)' log
	fi
	printf '%s\tvm/%s\t%d s, %d passed, %d failed, %d skipped\n' $result "$name" $((SECONDS - start)) \
		"$(grep -c '^--- PASS' log)" "$(grep -c '^--- FAIL' log)" "$(grep -c '^--- SKIP' log)"
done
if [ -d validation ]; then
	unshare -m --propagation private validation/run.sh vm || rc=1
fi
exit $rc
