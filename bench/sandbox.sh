#!/bin/bash
# sandbox.sh: measures `zbox -c FILE -- true` beside `zbox run` of the same bundle, on the machine's own cgroups: limits need controllers.
set -euo pipefail
cd "$(dirname "$0")"
zbox=$(realpath "${ZBOX:-../bin/zbox}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
"$zbox" init -c "$work/sandbox.json" busybox
"$zbox" spec -c "$work/sandbox.json" -b "$work/bundle" -- true
hyperfine --shell=none --warmup 5 --runs "${RUNS:-80}" --style none --export-json "$work/result.json" \
	--command-name run "$zbox --root $work/state run -b $work/bundle bench-run" \
	--command-name sandbox "$zbox --root $work/state -c $work/sandbox.json -- true" >/dev/null 2>&1
jq -r '.results as $r | $r[] | "sandbox\t\(.command)\t\(.mean * 1000 * 100 | round / 100)\t\(.median / $r[0].median * 100 | round / 100)"' "$work/result.json" |
	column -t -s $'\t' -N what,who,'mean ms','ratio of medians'
