#!/bin/sh
# exports.sh: the functions in asqueue.h, the version script and the library's dynamic symbols are
# the same set, and header and package have the same version.
set -eu
export LC_ALL=C
src=${abs_top_srcdir:-.}
build=${abs_top_builddir:-.}
awk=${AWK:-awk}
nm=${NM:-nm} # may have options
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0

same() { # WHAT A B
    if ! diff "$2" "$3" >"$tmp/diff"; then
        echo "FAIL: $1"
        sed -n 's/^</  only in the first: /p; s/^>/  only in the second:/p' "$tmp/diff"
        failed=1
    fi
}

"$awk" -f "$src/lib/exports.awk" "$src/lib/asqueue.h" | sort >"$tmp/header"
[ -s "$tmp/header" ] || { echo "FAIL: no function found in asqueue.h"; exit 1; }

sed -n 's/^    \([a-z0-9_]*\);.*/\1/p' "$src/lib/libasqueue.map" | sort >"$tmp/map"
same "asqueue.h (first) and libasqueue.map (second): run make update-map" "$tmp/header" "$tmp/map"

lib=$build/lib/.libs/libasqueue.so
if [ -e "$lib" ]; then
    $nm -D --defined-only "$lib" | "$awk" '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
        sort >"$tmp/lib"
    # Builds for coverage and sanitizers add symbols, which are left out.
    grep -vE '^(__(asan|ubsan|tsan|sanitizer|sancov|llvm|gcov)|_(init|fini|edata|end)$|__bss_start$)' \
        "$tmp/lib" >"$tmp/exported" || :
    same "asqueue.h (first) and nm -D of the library (second)" "$tmp/header" "$tmp/exported"
    if $nm -D --defined-only "$lib" | grep ' T asq_' | grep -v '@@ASQUEUE_[0-9]'; then
        echo "FAIL: these have no symbol version"
        failed=1
    fi
else
    echo "no shared library was built: only header and map compared"
fi

header=$(sed -n 's/^#define ASQ_VERSION  *"\(.*\)"/\1/p' "$src/lib/asqueue.h")
package=$(sed -n 's/^Version: //p' "$build/asqueue.pc")
[ "$header" = "$package" ] || { echo "FAIL: asqueue.h is $header, configure.ac $package"; failed=1; }

exit $failed
