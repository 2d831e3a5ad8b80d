#!/bin/bash
# compare.suite.sh: runs the runtime-tools validation suite with zbox and with the machine's runc and crun.
cd "$(dirname "$(realpath "$0")")/validation" || exit
mkdir -p ../out
for runtime in "$PWD/../zbox" /usr/sbin/runc /usr/bin/crun; do
	name=$(basename "$runtime")
	: >passing-vm.txt
	start=$SECONDS
	UPDATE=1 RUNTIME=$runtime unshare -m --propagation private ./run.sh vm
	cp passing-vm.txt "../out/$name.txt"
	cp -r bin/logs-vm "../out/logs-$name"
	echo "$name: $((SECONDS - start)) s"
done
