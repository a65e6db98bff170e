#!/bin/sh
# format.sh: checks that the C and C++ files of the tree are as clang-format 14 makes them, and that no
# line of them is longer than 100 columns, but for a text, a picture or a command that is kept in one
# piece. Skipped without that clang-format.
set -eu
export LC_ALL=C.UTF-8
cd "${abs_top_srcdir:-.}"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

find lib src tests contrib -type f \( -name '*.[ch]' -o -name '*.[ch]pp' \) \
    ! -name '*_gen.h' ! -name '*.pb-c.*' | sort >"$tmp/files"
[ "$(wc -l <"$tmp/files")" -ge 200 ] || { echo "FAIL: the tree was not found in $PWD"; exit 1; }

failed=0
if xargs grep -nE '^.{101,}' <"$tmp/files" | grep -vE '"|▶|│|\$\(|DHAVE' >"$tmp/long"; then
    echo "FAIL: lines of more than 100 columns:"
    sed 's/^/  /' "$tmp/long"
    failed=1
fi
case $(clang-format --version 2>/dev/null) in
*' version 14.'*) ;;
*) [ $failed = 0 ] && { echo "no clang-format 14: the format was not checked"; exit 77; } || exit 1 ;;
esac
if ! xargs clang-format --dry-run -Werror <"$tmp/files" >"$tmp/format" 2>&1; then
    echo "FAIL: not as clang-format makes it (clang-format -i FILE mends it):"
    grep -m 20 'error:' "$tmp/format" | sed 's/^/  /'
    failed=1
fi
exit $failed
