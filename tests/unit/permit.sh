#!/bin/sh
# permit.sh: permit.lua tries every command that a worker's scripts run, because a forgotten one
# could be refused in the middle of a commit.
set -eu
export LC_ALL=C
src=${abs_top_srcdir:-.}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

commands() { # FILE...
    cat "$@" | sed 's/--.*//' | grep -oE "\b(call|ask|try)\('[A-Z]+'" | sed "s/.*('//; s/'//" | sort -u
}

set --
for script in "$src"/lib/redis/*.lua; do
    case ${script##*/} in
    permit.lua) ;;
    dead_*.lua | drain.lua | move_*.lua | stop.lua | taken.lua) ;; # scripts of clients and operators
    *) set -- "$@" "$script" ;;
    esac
done
commands "$@" >"$tmp/used"
commands "$src/lib/redis/permit.lua" >"$tmp/tried"
[ "$(wc -l <"$tmp/used")" -ge 15 ] || { echo "FAIL: no commands found in the scripts"; exit 1; }
comm -23 "$tmp/used" "$tmp/tried" >"$tmp/missing"
if [ -s "$tmp/missing" ]; then
    echo "FAIL: permit.lua does not try these commands of $(echo "$@" | sed "s,$src/lib/redis/,,g"):"
    sed 's/^/  /' "$tmp/missing"
    exit 1
fi
echo "permit.lua tries all $(wc -l <"$tmp/used") commands of the scripts"
