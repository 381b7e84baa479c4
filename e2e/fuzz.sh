#!/usr/bin/env bash
# Runs every fuzz target of the module, one after the other, and says how many inputs each has tried: fuzz.sh [PACKAGE...]
# FUZZTIME is how long each may take. What is found stays under testdata/fuzz, and is from then on a case of the test.
set -euo pipefail
cd "$(dirname "$0")/.."
each=${FUZZTIME:-30s}
[ $# -gt 0 ] || set -- ./...

# Inputs that reach new code are made smaller before they are kept, by default for up to a minute each: that would be all
# that happens in the time of one target. A few attempts are enough.
smaller=20x

output=$(mktemp)
trap 'rm -f "$output"' EXIT
failed=0 targets=0
# The names of the targets come before the line that says ok and the name of their package.
list=$(go test -list '^Fuzz' "$@" | awk '/^Fuzz/ { names = names " " $1 } /^ok/ { n = split(names, all, " "); for (i = 1; i <= n; i++) print $2, all[i]; names = "" }')
while read -r package target; do
	[ -n "$target" ] || continue
	targets=$((targets + 1))
	verdict=ok
	if ! go test -run '^$' -fuzz "^$target\$" -fuzztime "$each" -fuzzminimizetime "$smaller" "$package" >"$output" 2>&1 </dev/null; then
		# At the end of its time go test sometimes says that a deadline was exceeded: that is no finding.
		if ! grep -q 'context deadline exceeded' "$output" || grep -q 'Failing input written to' "$output"; then
			verdict=FAILED failed=1
		fi
	fi
	tried=$(sed -n 's/.*execs: \([0-9]*\).*total: \([0-9]*\).*/\1 inputs, \2 kept/p' "$output" | tail -n 1)
	printf '%-6s %s %s: %s\n' "$verdict" "${package#*/*/*/}" "$target" "${tried:-no inputs}"
	[ "$verdict" = ok ] || cat "$output"
done <<<"$list"
[ "$targets" -gt 0 ] || { echo "there are no fuzz targets"; exit 1; }
exit "$failed"
