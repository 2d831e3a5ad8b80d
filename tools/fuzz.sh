#!/bin/bash
# fuzz.sh TIME: runs every Go fuzz target of the module for TIME, one after the other.
set -euo pipefail

time=${1:?usage: fuzz.sh TIME}
targets=0
while IFS=: read -r file name; do
	package=./$(dirname "$file")
	echo "fuzzing $name in $package for $time"
	go test -tags urfave_cli_no_docs -run '^$' -fuzz "^$name\$" -fuzztime "$time" "$package"
	targets=$((targets + 1))
done < <(git ls-files -- '*_test.go' | xargs -r grep -oH '^func Fuzz[A-Za-z0-9_]*' | sed 's/func //')
echo "$targets fuzz targets ran"
