#!/bin/bash
# compare.suite.sh: tells of every program of the runtime-tools validation suite that need not pass with zbox here (passing-vm.txt)
# whether it passes with zbox, and if not, with the machine's runc and crun. Takes about 8 minutes: VM_SECONDS=900.
cd "$(dirname "$(realpath "$0")")/validation" || exit

# passes PROGRAM RUNTIME
passes() {
	echo "$1" >passing-vm.txt
	if RUNTIME=$2 unshare -m --propagation private ./run.sh vm >/dev/null 2>&1; then
		echo "passes with ${2##*/}"
	else
		echo "fails with ${2##*/}"
		return 1
	fi
}

for program in $(basename -a bin/programs/* | sort | comm -23 - <(sort passing-vm.txt)); do
	line=$(passes "$program" "$PWD/../zbox") ||
		for runtime in /usr/sbin/runc /usr/bin/crun; do
			line+=", $(passes "$program" "$runtime")"
		done
	echo "$program: $line"
done
