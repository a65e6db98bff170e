#!/bin/sh
# docs.sh: the README links to each page of doc/, the targets of the pages' links exist, as-worker or
# as-ctl has each option that they name (except in AgentScope's column), the program of doc/agentscope.md
# compiles and runs, and contrib/kubernetes has valid YAML, if a checker is installed.
#
# By hand: from the build directory, .../tests/unit/docs.sh
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"
unset ASQUEUE_URL

for page in "$srcdir"/doc/*.md; do
    name=${page##*/}
    grep -qF "](doc/$name)" "$srcdir/README.md" || fail "README.md does not link to doc/$name"
    sed -n 's/.*](\([^)#:]*\)).*/\1/p' "$page" >"$tmp/links"
    while read -r link; do
        [ -e "$srcdir/doc/$link" ] || fail "doc/$name links to $link, which is not there"
    done <"$tmp/links"
done

# The programs have the options that doc/containers.md names.
{ "$as_worker" --complete '' - && "$as_worker" --complete start - && "$as_ctl" --complete ping - &&
    "$as_ctl" --complete stop -; } >"$tmp/options" 2>/dev/null
grep -o -- '`--[a-z-]*' "$srcdir/doc/containers.md" | tr -d '`' | sort -u >"$tmp/named"
sed -n 's/^ *- \(--[a-z-]*\)=.*/\1/p' "$srcdir/contrib/kubernetes/worker.yaml" >>"$tmp/named"
while read -r option; do
    case $option in --chown | --chmod) continue ;; esac
    grep -qxF -- "$option" "$tmp/options" || fail "there is no option $option"
done <"$tmp/named"

awk '$0 == "<!-- file: web.c -->" { wanted = 1; next }
    wanted && /^```/ { if (inside) exit; inside = 1; next }
    wanted && inside' "$srcdir/doc/agentscope.md" >"$tmp/web.c"
if [ -e "$builddir/lib/.libs/libasqueue.so" ]; then
    # shellcheck disable=SC2086 # flags are a list
    ${CC:-cc} -Wall -Wextra -Werror ${SAN_CFLAGS-} -I"$srcdir/lib" -o "$tmp/web" "$tmp/web.c" \
        -L"$builddir/lib/.libs" -lasqueue -Wl,-rpath,"$builddir/lib/.libs" >"$tmp/log" 2>&1 ||
        fail "the program of doc/agentscope.md" "$tmp/log"
    ASQUEUE_URL=local: "$tmp/web" 1 >"$tmp/out" 2>&1 || fail "the program of doc/agentscope.md" "$tmp/out"
    expect_count "$tmp/out" '^Answer from W[0-4]$' 10
fi

if python3 -c 'import yaml' 2>/dev/null; then
    for manifest in "$srcdir"/contrib/kubernetes/*.yaml; do
        python3 -c 'import sys, yaml
for document in yaml.safe_load_all(open(sys.argv[1])):
    assert document["kind"] and document["metadata"]["name"]' "$manifest" >"$tmp/log" 2>&1 ||
            fail "${manifest##*/} is not a valid manifest" "$tmp/log"
    done
fi
echo "all as expected"
