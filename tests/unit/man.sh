#!/bin/sh
# man.sh: the manual pages name every command and option of the programs, and every error of the
# header. Their program compiles. They have no formatting mistakes, if a checker is installed.
#
# By hand: from the build directory, .../tests/unit/man.sh
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"
man=$srcdir/man
unset ASQUEUE_URL

# Every option has an entry ".It Fl x , Fl Fl name", every command an ".It Cm name".
described() { # PROGRAM PAGE
    "$1" --complete '' >"$tmp/commands" || fail "$1 --complete"
    [ -s "$tmp/commands" ] || fail "$1 has no commands"
    while read -r command; do
        expect "$2" "^\\.It Cm $command( |\$)"
        "$1" --complete "$command" -
    done <"$tmp/commands" | sort -u >"$tmp/options"
    [ -s "$tmp/options" ] || fail "$1 has no options"
    "$1" --complete dead '' >"$tmp/commands"
    while read -r command; do
        expect "$2" "^\\.It Cm dead $command( |\$)"
    done <"$tmp/commands"
    while read -r option; do
        expect "$2" "^\\.It (Fl . , )?Fl Fl ${option#--}( |\$)"
    done <"$tmp/options"
    # The page names no option that the program does not have.
    sed -n 's/^\.It \(Fl . , \)*Fl Fl \([a-z-]*\).*/--\2/p' "$2" | sort -u | diff "$tmp/options" - >"$tmp/diff" ||
        fail "options of the program (<) and of ${2##*/} (>)" "$tmp/diff"
}

# Prints the options that the synopsis and the entries of a command name; "option" stands for all.
named() { # PAGE COMMAND
    awk -v command="$2" '
        function options(text,    word, n, i) {
            n = split(text, word, " ")
            for (i = 1; i <= n; i++) {
                if (word[i] !~ /^\.?Fl$/) continue
                if (word[++i] == "Fl") print "--" word[++i]
                else print "-" word[i]
            }
        }
        function end_form() {
            if (of == "" || of == command) options(form)
            if (of == command && form ~ / Ar option /) print "option"
            of = form = ""
        }
        /\\$/ { begun = begun substr($0, 1, length($0) - 1); next }
        { $0 = begun $0; begun = "" }
        synopsis && /^\.(Nm|Sh)/ { end_form() }
        /^\.Sh/ { synopsis = $2 == "SYNOPSIS" }
        synopsis && !/^\.(Nm|Sh)/ {
            form = form " " $0
            if ($1 == ".Cm") of = $2
            if ($2 == "Cm") of = $3
        }
        index($0 " ", ".It Cm " command " ") == 1 { options($0) }' "$1"
}

# The options of a command are the same by TAB, by --help and, besides --help and --version, by the page's synopsis
# and the command's entry.
agree() { # PROGRAM PAGE COMMAND-WORD...
    program=$1 page=$2
    shift 2
    "$program" --complete "$@" - | sort >"$tmp/options"
    "$program" "$@" --help | tee "$tmp/help" | sed -n 's/^  \(-.,\|   \) \(--[a-z-]*\).*/\2/p' | sort |
        diff "$tmp/options" - >"$tmp/diff" || fail "options of ${program##*/} $*, by TAB (<) and by --help (>)" "$tmp/diff"
    named "$page" "$*" | sort -u >"$tmp/named"
    grep -qx option "$tmp/named" && return
    sed -n 's/^  \(-.\), \(--[a-z-]*\).*/s,^\1$,\2,/p' "$tmp/help" >"$tmp/letters"
    sed -f "$tmp/letters" "$tmp/named" | sort -u >"$tmp/long"
    grep -vxe --help -e --version "$tmp/options" | diff - "$tmp/long" >"$tmp/diff" ||
        fail "options of ${program##*/} $* (<), and those in synopsis and entry of ${page##*/} (>)" "$tmp/diff"
}
all_agree() { # PROGRAM PAGE
    for command in $("$1" --complete ''); do
        if [ "$command" = dead ]; then # has commands of its own
            for second in $("$1" --complete dead ''); do agree "$1" "$2" dead "$second"; done
        else
            agree "$1" "$2" "$command"
        fi
    done
}

for program in "$as_ctl" "$as_worker" "$as_studio"; do
    page=$man/$(basename "$program").1
    [ -x "$program" ] || continue # as-studio is built with libmicrohttpd
    described "$program" "$page"
    all_agree "$program" "$page"
done

# X(ASQ_EINVAL, -1, …) of the header is ".It Dv ASQ_EINVAL No -1".
sed -n 's/^    X(\(ASQ_E[A-Z]*\), \(-[0-9]*\),.*/.It Dv \1 No \2/p' "$srcdir/lib/asqueue.h" |
    sort >"$tmp/header"
[ -s "$tmp/header" ] || fail "no error found in asqueue.h"
grep '^\.It Dv ASQ_E.* No -[0-9]' "$man/asqueue.3" | sort | diff "$tmp/header" - >"$tmp/diff" ||
    fail "errors of asqueue.h (<) and of asqueue.3 (>)" "$tmp/diff"

# The functions that the page names exist.
grep -o 'Fn asq_[a-z_]*' "$man/asqueue.3" | sort -u | while read -r _ function; do
    grep -q "\\b$function(" "$srcdir/lib/asqueue.h" || [ "$function" = asq_ ] ||
        fail "asqueue.3 names $function, asqueue.h does not"
done || exit 1

# The first program compiles, and prints the sum.
sed -n '/^\.Sh FIRST PROGRAM/,/^\.Ed/p' "$man/asqueue.3" | sed '/^\./d; s/\\e/\\/g' >"$tmp/first.c"
expect "$tmp/first.c" '^int main'
if [ -e "$builddir/lib/.libs/libasqueue.so" ]; then
    # shellcheck disable=SC2086 # a list of words
    ${CC:-cc} -Wall -Wextra -Werror ${SAN_CFLAGS-} -I"$srcdir/lib" -o "$tmp/first" "$tmp/first.c" \
        -L"$builddir/lib/.libs" -lasqueue -Wl,-rpath,"$builddir/lib/.libs" >"$tmp/cc.log" 2>&1 ||
        fail "the first program of asqueue.3" "$tmp/cc.log"
    ASQUEUE_URL=local: "$tmp/first" >"$tmp/out" 2>&1 || fail "the first program fails" "$tmp/out"
    [ "$(cat "$tmp/out")" = 42 ] || fail "the first program did not print 42" "$tmp/out"
fi

# Each exported function, and each type, has a page that names it.
"${AWK:-awk}" -f "$srcdir/lib/exports.awk" "$srcdir/lib/asqueue.h" >"$tmp/functions"
sed -n 's/^typedef struct \(asq[a-z_]*\) .*/\1/p' "$srcdir/lib/asqueue.h" >>"$tmp/functions"
pages=$builddir/man/man3
[ -s "$pages/list" ] || fail "no pages were made: $pages"
while read -r name; do
    [ -s "$pages/$name.3" ] || fail "no page for $name"
    grep -qx "$name" "$pages/list" || fail "$name is not in the list of pages"
    expect "$pages/$name.3" "^\\.Nm $name\$"
    expect "$pages/$name.3" '^\.Nd .'
    sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESCRIPTION/p' "$pages/$name.3" | grep -q "$name" || fail "the synopsis of $name"
    sed -n '/^\.Sh DESCRIPTION/,/^\.Sh SEE/p' "$pages/$name.3" | sed '1d; $d' | grep -q . || fail "the description of $name"
done <"$tmp/functions"
if command -v man >/dev/null && man --version 2>/dev/null | grep -q '^man [0-9]'; then
    for name in asq_call asq_error asq_method_fn asq_pack asq_worker_options; do
        LC_ALL=C.UTF-8 man --warnings -l "$pages/$name.3" 2>"$tmp/warnings" >/dev/null
        [ ! -s "$tmp/warnings" ] || fail "man on $name.3" "$tmp/warnings"
    done
fi

for page in as-ctl.1 as-studio.1 as-worker.1 asqueue.3; do
    if command -v mandoc >/dev/null; then
        # "referenced manual not found": pages that are not installed yet.
        mandoc -T lint "$man/$page" 2>/dev/null | grep -v 'referenced manual not found' >"$tmp/lint" &&
            fail "mandoc on $page" "$tmp/lint"
    fi
    if command -v man >/dev/null && man --version 2>/dev/null | grep -q '^man [0-9]'; then
        man --warnings -l "$man/$page" 2>"$tmp/warnings" >/dev/null
        [ ! -s "$tmp/warnings" ] || fail "man on $page" "$tmp/warnings"
    fi
done
echo "all as expected"
