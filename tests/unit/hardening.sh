#!/bin/sh
# hardening.sh: what configure promises of the built files is in them: full RELRO, no executable stack, position
# independent, and plugins get -fstack-clash-protection from pkg-config.
#
# By hand: from the build directory, .../tests/unit/hardening.sh
# shellcheck disable=SC2154 # support.sh sets tmp, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"
build=${ASQ_TEST_BUILDDIR:-.}
command -v readelf >/dev/null || skip "no readelf"
grep -q '^HARD_LDFLAGS = .*relro' "$build/Makefile" || skip "built without hardening"

for file in lib/.libs/libasqueue.so src/.libs/as-worker src/.libs/as-ctl contrib/examples/agents/echo.so; do
    file=$build/$file
    [ -e "$file" ] || file=$(echo "$file" | sed 's,/.libs/\([^/]*\)$,/\1,')
    [ -e "$file" ] || continue
    readelf -hldW "$file" >"$tmp/elf" || fail "readelf $file"
    expect "$tmp/elf" 'GNU_RELRO'
    expect "$tmp/elf" '(BIND_NOW|FLAGS.* NOW)'
    expect "$tmp/elf" 'GNU_STACK .* RW  '
    expect "$tmp/elf" 'Type: +DYN'
    found=yes
done
[ "${found:-}" ] || fail "no file to look at"
if grep -q '^HARD_CFLAGS = .*-fstack-clash-protection' "$build/Makefile"; then
    expect "$build/asqueue.pc" '^Cflags: .*-fstack-clash-protection'
fi
