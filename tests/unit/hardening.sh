#!/bin/sh
# hardening.sh: checks that the built files have the properties that configure promises: full RELRO, no
# executable stack, position-independent code; in programs and the library also stack canaries, fortified
# string functions and landing pads for indirect branches. Plugins get -fstack-clash-protection from
# pkg-config. All code reads the environment by secure_getenv. The test checks the files of the build
# directory and, in make installcheck, the installed files (ASQ_TEST_INSTALLED_LIB, ASQ_TEST_INSTALLED_BIN).
#
# By hand: from the build directory, .../tests/unit/hardening.sh
# shellcheck disable=SC2153,SC2154 # support.sh sets tmp, ...; make sets ASQ_TEST_INSTALLED_BIN

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"
build=${ASQ_TEST_BUILDDIR:-.}
# A program with more rights than its caller must not take its secrets or paths from the environment.
if grep -rnE '(^|[^_[:alnum:]])getenv *\(' "$srcdir/lib" "$srcdir/src" --include='*.[ch]' >"$tmp/env"; then
    fail "getenv in place of secure_getenv" "$tmp/env"
fi
command -v readelf >/dev/null || skip "no readelf"
grep -q '^HARD_LDFLAGS = .*relro' "$build/Makefile" || skip "built without hardening"
hard_cflags=$(sed -n 's/^HARD_CFLAGS = //p' "$build/Makefile")
machine=$(uname -m)

flag() { # FLAG: tells whether the files are compiled with it
    case " $hard_cflags " in *" $1"*) return 0 ;; esac
    return 1
}

# Checks the properties that each file has from the linker.
check_linked() { # FILE
    readelf -hldW "$1" >"$tmp/elf" || fail "readelf $1"
    expect "$tmp/elf" 'GNU_RELRO'
    expect "$tmp/elf" '(BIND_NOW|FLAGS.* NOW)'
    expect "$tmp/elf" 'GNU_STACK .* RW  '
    expect "$tmp/elf" 'Type: +DYN'
    expect_count "$tmp/elf" 'TEXTREL|\(RPATH\)' 0
}

# Checks the properties that a program or library with arrays on its stack and copied strings has from the
# compiler.
check_compiled() { # FILE
    readelf -W --dyn-syms "$1" >"$tmp/symbols" || fail "readelf $1"
    if flag -fstack-protector-strong; then
        expect "$tmp/symbols" ' UND .*(__stack_chk_fail|__stack_chk_guard)'
    fi
    if flag -D_FORTIFY_SOURCE; then
        expect "$tmp/symbols" ' UND __v?(snprintf|fprintf|printf|asprintf|memcpy|strcpy)_chk'
    fi
    check_branches "$1"
}

# Checks that targets of indirect calls begin with a landing pad (endbr64 of x86). The file's mark for the
# kernel is not checked, because a C library whose start files have no landing pads removes it.
check_branches() { # FILE
    command -v objdump >/dev/null || return 0
    flag -fcf-protection && [ "$machine" = x86_64 ] || return 0
    objdump -d "$1" >"$tmp/code" || fail "objdump $1"
    [ "$(grep -c 'endbr64' "$tmp/code")" -ge 5 ] || fail "$1 is compiled without -fcf-protection"
}

check_installed() { # a program is installed without a path of the build tree
    for file in "$ASQ_TEST_INSTALLED_LIB"/libasqueue.so "$ASQ_TEST_INSTALLED_BIN"/as-worker \
        "$ASQ_TEST_INSTALLED_BIN"/as-ctl; do
        [ -e "$file" ] || fail "$file is not installed"
        check_linked "$file"
        check_compiled "$file"
        if readelf -dW "$file" | grep -E 'R(UN)?PATH' | grep -F "$PWD"; then
            fail "$file looks for libraries in the build directory"
        fi
        echo "$file: as configured"
    done
}

if [ "${ASQ_TEST_INSTALLED_LIB-}" ]; then
    check_installed
    exit 0
fi
for file in lib/.libs/libasqueue.so src/.libs/as-worker src/.libs/as-ctl; do
    file=$build/$file
    [ -e "$file" ] || file=$(echo "$file" | sed 's,/.libs/\([^/]*\)$,/\1,')
    [ -e "$file" ] || continue
    check_linked "$file"
    check_compiled "$file"
    found=yes
done
[ "${found:-}" ] || fail "no file to look at"
for file in "$build"/contrib/examples/agents/*.so; do
    [ -e "$file" ] || continue
    check_linked "$file"
    check_branches "$file"
done
if flag -fstack-clash-protection; then
    expect "$build/asqueue.pc" '^Cflags: .*-fstack-clash-protection'
fi
echo "as configured: $hard_cflags"
