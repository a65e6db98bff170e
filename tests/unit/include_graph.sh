#!/bin/sh
# include_graph.sh: checks the include graph of lib/worker: no module includes another in a cycle, and
# the modules of core include only value and each other. A module is a source with its header. With
# --print it prints the graph, an arrow a line, lower modules last.
set -eu
export LC_ALL=C
cd "${abs_top_srcdir:-.}"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

find lib/worker -name '*.[ch]' | sort >"$tmp/files"
[ "$(wc -l <"$tmp/files")" -ge 80 ] || { echo "FAIL: lib/worker was not found in $PWD"; exit 1; }

# Lines "MODULE MODULE": the first one includes the second one; a module alone names itself twice.
xargs awk '
    function module(path) { sub(/.*\//, "", path); sub(/\.[ch]$/, "", path); return path }
    FNR == 1 { from = module(FILENAME); print from, from }
    /^#include "worker\// { split($0, part, "\""); print from, module(part[2]) }
' <"$tmp/files" | sort -u >"$tmp/arrows"

failed=0
if ! tsort "$tmp/arrows" >"$tmp/order" 2>"$tmp/cycle"; then
    echo "FAIL: modules of lib/worker include each other in a cycle:"
    sed -n '2,${/contains a loop/q;s/^tsort:/ /p}' "$tmp/cycle"
    failed=1
fi
if grep -n '^#include "' lib/worker/core/*.[ch] | grep -vE '"(value|worker/core)/|"asqueue\.h"' >"$tmp/upward"; then
    echo "FAIL: lib/worker/core includes more than value and itself:"
    sed 's/^/  /' "$tmp/upward"
    failed=1
fi
if [ "${1:-}" = --print ]; then
    while read -r module; do
        awk -v m="$module" '$1 == m && $2 != m { to = to " " $2 } END { print m " ->" to }' "$tmp/arrows"
    done <"$tmp/order"
fi
[ $failed = 0 ] && echo "$(wc -l <"$tmp/order") modules, $(awk '$1 != $2' "$tmp/arrows" | wc -l) arrows, no cycle"
exit $failed
