#!/bin/sh
# shipped.sh: files that users copy or read are right: the unit of systemd, the buffers for error texts in
# examples, and the links of installed files.
# shellcheck disable=SC2154 # support.sh sets tmp, srcdir, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"
unset MAKEFLAGS MFLAGS MAKELEVEL

# ---- the unit ----
# A worker that as-ctl has stopped ends with status 0, a worker with a wrong command line with 2. Neither is started
# again, but a worker that has crashed is.
unit="$srcdir/contrib/systemd/as-worker@.service"
setting() { # NAME: prints its values in the section Service
    awk -v name="$1=" '/^\[/ { inside = $0 == "[Service]" } inside && index($0, name) == 1 { print substr($0, length(name) + 1) }' "$unit"
}
[ "$(setting Restart)" = on-failure ] || fail "Restart=$(setting Restart): as-ctl stop would be undone, or a crash left"
case " $(setting RestartPreventExitStatus) " in
*' 2 '*) ;;
*) fail "RestartPreventExitStatus=$(setting RestartPreventExitStatus): wrong usage would be tried for ever" ;;
esac
[ -z "$(setting RestartForceExitStatus)" ] || fail "RestartForceExitStatus= is set"
drain_s=30 # --drain-timeout by default, then 3 s until SIGKILL
[ "$(setting TimeoutStopSec)" -gt $((drain_s + 3)) ] || fail "TimeoutStopSec=$(setting TimeoutStopSec) is too short"
"$as_worker" --no-such-option >/dev/null 2>&1
[ $? = 2 ] || fail "the status of wrong usage is not 2"
if command -v systemd-analyze >/dev/null; then
    sed "s,^ExecStart=[^ ]*,ExecStart=$(command -v true)," "$unit" >"$tmp/as-worker@.service"
    systemd-analyze verify --man=no "$tmp/as-worker@.service" >"$tmp/verify.log" 2>&1 ||
        grep -qi 'failed to \(connect\|initialize\|create\)' "$tmp/verify.log" || fail "systemd-analyze verify" "$tmp/verify.log"
    ! grep -i 'unknown \(key\|lvalue\|section\)' "$tmp/verify.log" || fail "systemd-analyze verify" "$tmp/verify.log"
fi

# ---- buffers for error texts ----
# asqueue.h shows 1024 bytes; a shorter buffer cuts the hint at the end of a text.
awk '/char err\[[0-9]+\]/ {
        match($0, /err\[[0-9]+/)
        found++
        if (substr($0, RSTART + 4, RLENGTH - 4) + 0 < 1024) { print FILENAME ": " $0; short++ }
    }
    END { if (found < 8) print "only " found " buffers were found"; exit short > 0 || found < 8 }' \
    "$srcdir/lib/asqueue.h" "$srcdir/README.md" "$srcdir"/doc/*.md "$srcdir"/man/*.[0-9] \
    "$srcdir"/contrib/examples/*.[ch] || fail "buffers for error texts"

# ---- links of installed documents ----
make -C "$builddir" install-contribDATA install-dist_contribDATA install-dist_contribSCRIPTS \
    contribdir="$tmp/contrib" >"$tmp/make.log" 2>&1 || fail "make install of contrib" "$tmp/make.log"
[ -e "$tmp/contrib/README.md" ] || fail "contrib/README.md is not installed"
grep -o '](\([^)#]*\)' "$tmp/contrib/README.md" | sed 's/^](//' | grep -v '^https\{0,1\}:' | sort -u >"$tmp/links"
[ -s "$tmp/links" ] || fail "no link was found"
while IFS= read -r link; do
    [ -z "$link" ] || [ -e "$tmp/contrib/$link" ] || fail "the installed README.md links to $link, which is not installed"
done <"$tmp/links"
echo "all as expected"
