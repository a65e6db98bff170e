#!/bin/sh
# completion.sh: TAB offers names, quoted, and runs no text from Redis as a command.
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"

command -v bash >/dev/null || skip "no bash"
needs_redis_cli
use_redis
mkdir "$tmp/bin" || exit 1
ln -s "$as_ctl" "$tmp/bin/as-ctl"
ln -s "$as_worker" "$tmp/bin/as-worker"
PATH=$tmp/bin:$PATH
export PATH

redis HSET 'asq:{default}:meta' format 1 partitions 4
# shellcheck disable=SC2016
redis SADD 'asq:{default}:workers' '$(touch${IFS}'"$tmp"'/pwned1)' '`touch '"$tmp"'/pwned2`' \
    'a b' "$(printf 'x\ny')" -rf --json "quo'te" 'w;reboot' 'w>file' 'w*' w1 'w:2' 'w:3' 'web{1}' '~root' \
    "$(printf 'esc\033[31m')" "$(printf 'c1\302\233')" "$(printf '\377')"
redis HSET 'asq:{default}:worker:w1' lease_time_ms 10000 classes \
    '{"$(touch '"$tmp"'/pwned3)":{"methods":[]},"Good":{"methods":[]},"Gone":{"methods":[]}}'

echo "what as-ctl prints"
"$as_ctl" --complete stop '' | sort >"$tmp/out"
printf 'w1\nw:2\nw:3\nweb{1}\n~root\n' | sort | diff - "$tmp/out" >"$tmp/diff" || fail "names (<), printed (>)" "$tmp/diff"

# Prints the offers of bash for a line. The arguments are its words, and as-ctl may print anything.
cat >"$tmp/tab.bash" <<'END'
. "$1" || exit 1
shift
COMP_WORDBREAKS=$' \t\n"\'><=;|&(:'
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_asqueue
[ ${#COMPREPLY[@]} -eq 0 ] || printf '%s\n' "${COMPREPLY[@]}"
END
tab() { # WORD...: as bash splits them; the last word is completed
    bash --norc --noprofile "$tmp/tab.bash" "$srcdir/contrib/completions/as-ctl" "$@" | sort
}
offers() { # EXPECTED WORD...
    printf '%b' "$1" | sort >"$tmp/expected"
    shift
    tab "$@" >"$tmp/out" || fail "TAB behind $*" "$tmp/out"
    diff "$tmp/expected" "$tmp/out" >"$tmp/diff" || fail "TAB behind $*: expected (<), offered (>)" "$tmp/diff"
}

echo "what bash offers"
offers 'w1\nw:2\nw:3\nweb\\{1\\}\n\\~root\n' as-ctl stop ''
offers 'w1\nw:2\nw:3\nweb\\{1\\}\n' as-ctl stop w
offers '2\n3\n' as-ctl stop w :
offers '3\n' as-ctl stop w : 3
offers 'Good\nGone\n' as-ctl create ''
offers 'Good\n' as-ctl create Goo
offers '--json\n' as-ctl stop --js
offers 'client\nmover\nobserver\noperator\nworker\n' as-ctl acl ''
offers 'Good\nGone\n' as-ctl agents --class ''
offers '' as-ctl create Good --id ''
offers '' as-ctl stop -r
offers 'list\nshow\nretry\ndrop\n' as-ctl dead ''
offers 'resolve\nreject\nshow\n' as-ctl promise ''
offers 'w1\nw:2\nw:3\nweb\\{1\\}\n\\~root\n' as-worker stop --id ''
offers 'w1\nw:2\nw:3\nweb\\{1\\}\n' as-worker stop --id w
offers 'w1\nw:2\nw:3\nweb\\{1\\}\n\\~root\n' as-worker stop --id = ''
offers 'w1\nw:2\nw:3\nweb\\{1\\}\n\\~root\n' as-worker --id --wait stop --id ''
offers '' as-worker start --id ''
offers '' as-worker --id ''
offers '' as-worker stop --timeout ''

cat >"$tmp/bin/as-ctl.evil" <<'END'
#!/bin/sh
printf '%s\n' '$(touch '"$EVIL"'/pwned4)' '`touch '"$EVIL"'/pwned5`' '${x:=$(touch '"$EVIL"'/pwned6)}' \
    'a b' 'a"b' "a'b" 'a\b' 'a;b' 'a&b' '<(touch '"$EVIL"'/pwned7)' '!!' -x fine 'dollar$x' ':FILE '
END
chmod +x "$tmp/bin/as-ctl.evil"
EVIL=$tmp
export EVIL
offers 'fine\n\\!\\!\n' as-ctl.evil stop ''

for file in "$tmp"/pwned*; do
    [ ! -e "$file" ] || fail "TAB has run a command: ${file##*/}"
done
stop "$redis_pid"
echo "all as expected"
