#!/bin/sh
# cpp.sh: asqueue.hpp with each installed C++ compiler and standard: check_cpp.cpp in each mode, the
# example as a program and as a plugin of as-worker, and an exception of a C++ method that as-ctl
# prints in full.
#
# By hand: from the build directory, .../tests/integration/cpp.sh
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"
unset ASQUEUE_URL

# Programs that use the library need the sanitizers of this build, too.
sanitizers=$(sed -n 's/^SAN_CFLAGS = *//p' Makefile 2>/dev/null)
lib=$(pwd)/lib/.libs
[ -e "$lib/libasqueue.so" ] || skip "no shared library"

compile() { # OUTPUT ARGUMENTS...
    out=$1
    shift
    # shellcheck disable=SC2086 # flags are lists
    $cxx -std="$std" $sanitizers -Wall -Wextra -Wpedantic -Werror -I"$srcdir/lib" -o "$out" "$@" \
        -L"$lib" -lasqueue -Wl,-rpath,"$lib" >"$tmp/log" 2>&1 || fail "$cxx -std=$std: $*" "$tmp/log"
}

found=
for cxx in g++ clang++ ${CXX:-}; do
    command -v "$cxx" >/dev/null || continue
    # A sanitizer's run-time library works with its own compiler only.
    [ -z "$sanitizers" ] || [ "$cxx" = "${CXX:-g++}" ] || continue
    for std in c++17 c++20; do
        echo 'int main() { return __cplusplus < 201703L; }' >"$tmp/empty.cpp"
        # shellcheck disable=SC2086 # flags are lists
        $cxx -std=$std $sanitizers -o "$tmp/empty" "$tmp/empty.cpp" >/dev/null 2>&1 || continue
        "$tmp/empty" || continue
        found="$found $cxx:$std"
        compile "$tmp/check" "$srcdir/tests/integration/check_cpp.cpp"
        "$tmp/check" local: >"$tmp/out" 2>&1 || fail "$cxx $std, local:" "$tmp/out"
    done
done
[ -n "$found" ] || skip "no C++17 compiler"

cxx=${found# } && cxx=${cxx%%:*}
std=c++17
compile "$tmp/bank" "$srcdir/contrib/examples/bank.cpp"
mkdir "$tmp/agents" && chmod 755 "$tmp/agents"
compile "$tmp/agents/bank.so" -DBANK_PLUGIN -shared -fPIC "$srcdir/contrib/examples/bank.cpp"
chmod go-w "$tmp/agents/bank.so"
ASQUEUE_URL=local: "$tmp/bank" >"$tmp/out" 2>&1 || fail "bank, local:" "$tmp/out"
expect "$tmp/out" '^in all: 3600$'
expect "$tmp/out" '^Account\.withdraw: Ada has not got that much \(-1001\)$'
expect "$tmp/out" '^Ada still has 1100$'

command -v redis-server >/dev/null || command -v valkey-server >/dev/null || exit 0
"$tmp/check" child: >"$tmp/out" 2>&1 || fail "child:" "$tmp/out"
"$tmp/bank" >"$tmp/out" 2>&1 || fail "bank, child:" "$tmp/out"
expect "$tmp/out" '^Ada still has 1100$'

# On workers that were started elsewhere, an exception arrives in full, and the process lives on.
start_redis
start worker "$as_worker" --redis-url "$redis_url" --agent-dir "$tmp/agents"
worker=$pid
wait_ready "$worker" worker
export ASQUEUE_URL="$redis_url"
"$as_ctl" create Account '["Eva", 10]' --id eva >"$tmp/out" 2>&1 || fail "as-ctl create" "$tmp/out"
"$as_ctl" call eva deposit '[0]' >"$tmp/out" 2>&1 && fail "nothing was deposited" "$tmp/out"
expect "$tmp/out" 'a deposit is more than nothing'
"$as_ctl" call eva deposit '{"cents": 5}' >"$tmp/out" 2>&1 || fail "as-ctl call" "$tmp/out"
expect "$tmp/out" '^15$'
"$tmp/bank" >"$tmp/out" 2>&1 || fail "bank, independent" "$tmp/out"
expect "$tmp/out" '^in all: 3600$'
stop "$worker" || fail "as-worker ended with status $?" "$tmp/worker.log"
