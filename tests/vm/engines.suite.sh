#!/bin/bash
# engines.suite.sh: runs the compiled tests of the engines beside it, with systemd and cgroup v2, as root and as a user with a
# session. The control of the times is runc, and crun beside it. ENGINES_CONTAINERS (6) and ENGINES_KILLS (4) are their knobs.
set -uo pipefail

cd "$(dirname "$(realpath "$0")")" || exit
export RUNTIME=$PWD/zbox MACHINE=systemd ENGINES_CONTAINERS=${ENGINES_CONTAINERS:-6} ENGINES_KILLS=${ENGINES_KILLS:-4}

# shellcheck source=tests/vm/users.sh
. ./users.sh

rc=0
for binary in engines/*.test; do
	start=$SECONDS
	"$binary" -test.v -test.run "${ONLY:-.}" -test.timeout 20m 2>&1 </dev/null | tee log | grep --line-buffered -vE '^=== '
	if [ "${PIPESTATUS[0]}" -eq 0 ]; then
		result=ok
	else
		result=FAIL rc=1
	fi
	printf '%s\tvm/engines/%s\t%d s, %d passed, %d failed, %d skipped\n' $result "$(basename "$binary" .test)" $((SECONDS - start)) \
		"$(grep -c '^--- PASS' log)" "$(grep -c '^--- FAIL' log)" "$(grep -c '^--- SKIP' log)"
done
exit $rc
