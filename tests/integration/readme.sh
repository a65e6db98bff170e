#!/bin/sh
# readme.sh: the code in the README compiles, with pkg-config alone, and works as described. A block of
# code that follows a line "<!-- file: NAME -->" is the file NAME.
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"
command -v redis-server >/dev/null || command -v valkey-server >/dev/null || skip "no redis-server"
command -v pkg-config >/dev/null || skip "no pkg-config"
cc=${CC:-cc}
[ -e "$builddir/lib/.libs/libasqueue.so" ] || skip "no shared library was built"
unset ASQUEUE_URL MAKEFLAGS MFLAGS MAKELEVEL

extract() { # NAME DIR
    mkdir -p "$2"
    awk -v name="$1" '
        $0 == "<!-- file: " name " -->" { wanted = 1; next }
        wanted && /^```/ { if (inside) exit; inside = 1; next }
        wanted && inside { print }' "$srcdir/README.md" >"$2/$1"
    [ -s "$2/$1" ] || fail "README.md has no file $1"
}

# shellcheck disable=SC2016
# Makes an asqueue.pc like the installed one, for the library in the build tree.
sed -e "s,^prefix=.*,prefix=$tmp/prefix," -e 's,^exec_prefix=.*,exec_prefix=${prefix},' \
    -e 's,^libdir=.*,libdir=${prefix}/lib,' -e 's,^includedir=.*,includedir=${prefix}/include,' \
    "$builddir/asqueue.pc" >"$tmp/asqueue.pc"
mkdir -p "$tmp/prefix"
ln -s "$builddir/lib/.libs" "$tmp/prefix/lib"
ln -s "$srcdir/lib" "$tmp/prefix/include"
PKG_CONFIG_PATH=$tmp${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
LD_LIBRARY_PATH=$builddir/lib/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export PKG_CONFIG_PATH LD_LIBRARY_PATH
mkdir "$tmp/child"

echo "the first program"
extract hello.c "$tmp/hello"
# shellcheck disable=SC2046,SC2086
(cd "$tmp/hello" && $cc -Wall -Wextra -Werror ${SAN_CFLAGS-} -o hello hello.c \
    $(pkg-config --cflags --libs asqueue)) >"$tmp/cc.log" 2>&1 || fail "hello.c" "$tmp/cc.log"
for url in '' local:; do
    env ${url:+ASQUEUE_URL="$url"} TMPDIR="$tmp/child" "$tmp/hello/hello" >"$tmp/out" 2>&1 ||
        fail "hello (${url:-child:})" "$tmp/out"
    [ "$(cat "$tmp/out")" = 42 ] || fail "hello (${url:-child:}) did not print 42" "$tmp/out"
done

cxx=${CXX:-c++}
# shellcheck disable=SC2086
if echo 'int main() { return 0; }' >"$tmp/empty.cpp" &&
    $cxx -std=c++17 ${SAN_CFLAGS-} -o "$tmp/empty" "$tmp/empty.cpp" >/dev/null 2>&1; then
    echo "the same in C++"
    extract hello.cpp "$tmp/hello"
    # shellcheck disable=SC2046,SC2086
    (cd "$tmp/hello" && $cxx -std=c++17 -Wall -Wextra -Werror ${SAN_CFLAGS-} -o hello++ hello.cpp \
        $(pkg-config --cflags --libs asqueue)) >"$tmp/cc.log" 2>&1 || fail "hello.cpp" "$tmp/cc.log"
    for url in '' local:; do
        env ${url:+ASQUEUE_URL="$url"} TMPDIR="$tmp/child" "$tmp/hello/hello++" >"$tmp/out" 2>&1 ||
            fail "hello.cpp (${url:-child:})" "$tmp/out"
        [ "$(cat "$tmp/out")" = 42 ] || fail "hello.cpp (${url:-child:}) did not print 42" "$tmp/out"
    done
    echo "a Redis that is not there is an error of the C++ program, and does not abort it"
    ASQUEUE_URL="unix:$tmp/nothing" "$tmp/hello/hello++" >"$tmp/out" 2>&1
    [ $? -eq 1 ] || fail "hello.cpp without a Redis did not exit with 1" "$tmp/out"
    expect "$tmp/out" "^unix:$tmp/nothing: .*No such file"
    expect_count "$tmp/out" "terminate" 0
fi

echo "plugins, outside of the tree"
extract Makefile "$tmp/agents"
cp "$srcdir/contrib/examples/counter.c" "$srcdir/contrib/examples/echo.c" "$tmp/agents"
(cd "$tmp/agents" && CFLAGS="-Werror ${SAN_CFLAGS-}" make CC="$cc") >"$tmp/make.log" 2>&1 || fail "the plugins' Makefile" "$tmp/make.log"

echo "as-worker and as-ctl with them"
start_redis
start as-worker "$as_worker" --redis-url "$redis_url" --agent-dir "$tmp/agents"
worker=$pid
wait_ready "$worker" as-worker
export ASQUEUE_URL="$redis_url"
ctl() {
    "$as_ctl" --timeout "${limit_s}s" "$@"
}
[ "$(ctl create Counter '{"start": 40}' --id tally 2>&1)" = tally ] ||
    fail "as-ctl create" "$tmp/as-worker.log"
[ "$(ctl call tally add '[2]' 2>&1)" = 42 ] || fail "as-ctl call" "$tmp/as-worker.log"
ctl workers >"$tmp/out" 2>&1 || fail "as-ctl workers" "$tmp/out"

echo "contrib/redis-cli/look"
command -v redis-cli >/dev/null || { echo "no redis-cli"; exit 0; }
look() {
    "$srcdir/contrib/redis-cli/look" "$@" -- -s "$redis_socket" $look_user >"$tmp/out" 2>&1
}
look where tally || fail "look where" "$tmp/out"
expect "$tmp/out" '^partition [0-9]+, owned by .'
partition=$(sed 's/partition \([0-9]*\),.*/\1/' "$tmp/out")
look agents || fail "look agents" "$tmp/out"
expect "$tmp/out" "^tally  $partition\$"
look partitions || fail "look partitions" "$tmp/out"
expect "$tmp/out" "^ +$partition +[^ ]+ +[1-9][0-9]* +[1-9][0-9]* +0 +1\$"
look workers || fail "look workers" "$tmp/out"
expect "$tmp/out" '^    pid +[0-9]+'
ctl create Echo --id e >"$tmp/out" 2>&1 || fail "as-ctl create" "$tmp/out"
call=$(ctl call e sleep '[60000]' --async) || fail "as-ctl call --async"
look waiting || fail "look waiting" "$tmp/out"
expect "$tmp/out" '^[0-9]+-[0-9]+ .*e\.sleep'
echo "$call" | grep -q . || fail "as-ctl call --async prints no call id"
if look where nobody; then
    fail "look finds an agent that is not there" "$tmp/out"
fi
kill -TERM "$worker" # the test's end ends the sleeping call
echo "all as expected"
