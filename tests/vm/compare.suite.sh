#!/bin/bash
# compare.suite.sh: runs every program of the runtime-tools validation suite with zbox and with the machine's runc and crun, and names
# those that fail.
cd "$(dirname "$(realpath "$0")")/validation" || exit
basename -a bin/programs/* | sort >passing-vm.txt
for runtime in "$PWD/../zbox" /usr/sbin/runc /usr/bin/crun; do
	echo "== $runtime"
	RUNTIME=$runtime unshare -m --propagation private ./run.sh vm
done
