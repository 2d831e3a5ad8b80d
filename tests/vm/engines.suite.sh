#!/bin/bash
# engines.suite.sh ENGINE[:PART/PARTS]: runs the engine's compiled tests beside it, or every PARTSth of them from the PARTth on, with systemd
# and cgroup v2, as root and as a user with a session. The control of the times is runc, and crun beside it. ONLY is for whole
# engines. ENGINES_CONTAINERS (6) and ENGINES_KILLS (4) are the tests' knobs.
set -uo pipefail

cd "$(dirname "$(realpath "$0")")" || exit
export RUNTIME=${RUNTIME:-$PWD/zbox} DOCS=$PWD/docs MACHINE=systemd ENGINES_CONTAINERS=${ENGINES_CONTAINERS:-6} ENGINES_KILLS=${ENGINES_KILLS:-4}

# shellcheck source=tests/vm/users.sh
. ./users.sh

engine=${1%:*} pattern=${ONLY:-.}
binary=engines/$engine.test
if [[ $1 = *:* ]]; then
	part=${1#*:}
	pattern="^($("$binary" -test.list . | awk -v part="${part%/*}" -v parts="${part#*/}" 'NR % parts == part % parts' | paste -sd '|'))\$"
fi
# As long as the machine has: a test that hangs says where.
"$binary" -test.v -test.run "$pattern" -test.timeout 40m 2>&1 </dev/null | tee log | grep --line-buffered -vE '^=== '
rc=${PIPESTATUS[0]}
printf '%s\tvm/engines/%s\t%d s, %d passed, %d failed, %d skipped\n' "$([ "$rc" -eq 0 ] && echo ok || echo FAIL)" "$1" $SECONDS \
	"$(grep -c '^--- PASS' log)" "$(grep -c '^--- FAIL' log)" "$(grep -c '^--- SKIP' log)"
exit "$rc"
