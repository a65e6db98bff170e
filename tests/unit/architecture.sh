#!/bin/sh
# architecture.sh: checks the names in ARCHITECTURE.md. Each named file, function, field, constant
# and option is in the tree. A function right behind a file name is defined in that file, and so is each
# static function in the last named file. A test is in the file named before it. Each file of lib and
# src has a line. No directory includes a file that the page forbids.
set -eu
export LC_ALL=C
src=${abs_top_srcdir:-.}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0

fail() {
    echo "FAIL: $*"
    failed=1
}

cd "$src"
page=${1:-ARCHITECTURE.md}
find lib src proto tests contrib man doc -type f \
    \( -name '*.[ch]' -o -name '*.lua' -o -name '*.sh' -o -name '*.hpp' -o -name '*.cpp' -o -name '*.awk' \
    -o -name '*.map' -o -name '*.proto' -o -name '*.md' \) ! -name '*_gen.h' ! -name '*.pb-c.*' | sort >"$tmp/files"
for file in *.md Makefile.am configure.ac; do
    echo "$file"
done >>"$tmp/files"
[ "$(wc -l <"$tmp/files")" -ge 200 ] || fail "the tree was not found in $src"

# ---- names ----

cat >"$tmp/names.awk" <<'AWK'
function base(path) {
    sub(/.*\//, "", path)
    return path
}
function bad(text) {
    print "line " line ": " text
}
# Returns the path of a file that the page names, or "".
function resolve(name) {
    if (name in files)
        return name
    if (("lib/" name) in files)
        return "lib/" name
    if (name ~ /\//)
        return ""
    if (count[name] > 1)
        bad("there are several files " name)
    return name in paths ? paths[name] : name in others ? others[name] : ""
}
# Checks one name. before: the text between it and the code before it.
function check(token, before, in_code,    path, name, rest) {
    if (token ~ /^[A-Za-z0-9_.\/-]+\.(c|h|lua|sh|hpp|awk|map|proto|md|am|ac)$/) {
        path = resolve(token)
        if (path == "")
            bad("there is no file " token)
        file = path ~ /\.[ch]$/ ? path : ""
        behind = path ~ /\.[ch]$/
        if (in_files)
            named[path]
        return
    }
    if (token ~ /^[a-z]+(\/[a-z-]+)+$/) { # a directory, or a file without a suffix
        if (system("test -e " token) != 0)
            bad("there is no " token)
    } else if (token ~ /^[A-Za-z_][A-Za-z0-9_]*\(\)$/) {
        name = substr(token, 1, length(token) - 2)
        if (!(name in functions))
            bad("there is no function " token)
        else if (file != "" && !((file, name) in defined) && ((behind && before ~ /^ *$/) || name !~ /^asq?_/))
            bad(token " is not defined in " file)
    } else if (token ~ /^--[a-z-]+$/) {
        if (!(substr(token, 3) in options))
            bad("there is no option " token)
    } else if (token !~ /[:{<>"]/ || token ~ /->/) {
        rest = token
        while (match(rest, /[A-Za-z_][A-Za-z0-9_]*/)) {
            name = substr(rest, RSTART, RLENGTH)
            rest = substr(rest, RSTART + RLENGTH)
            if (length(name) < 4 || name ~ /^[A-Z]+$/ || name ~ /-/ || token ~ /[A-Z]-/)
                continue
            if (base(file) ~ /^check_/ ? !((file, name) in has) : !(name in words))
                bad("there is no " name (base(file) ~ /^check_/ ? " in " file : "") " (" token ")")
        }
    }
    behind = 0
}

FILENAME == list {
    files[$0]
    if ($0 ~ /^(lib|src)\//) {
        count[base($0)]++
        paths[base($0)] = $0
    } else {
        others[base($0)] = $0
    }
    next
}

FILENAME != page {
    if (FNR == 1)
        test = base(FILENAME) ~ /^check_.*\.c$/
    # A definition, or a prototype, begins a line.
    if ($0 ~ /^[A-Za-z].*\(/ || $0 ~ /^local function/) {
        head = $0
        while (match(head, /[A-Za-z_][A-Za-z0-9_]*\(/)) {
            name = substr(head, RSTART, RLENGTH - 1)
            functions[name]
            defined[FILENAME, name]
            head = substr(head, RSTART + RLENGTH)
        }
    }
    text = $0
    if (FILENAME ~ /^src\/as-worker\.c$/ && match(text, /^    \{ "[a-z-]+",/))
        options[substr(text, 8, RLENGTH - 9)]
    while (match(text, /[A-Za-z_][A-Za-z0-9_]*/)) {
        name = substr(text, RSTART, RLENGTH)
        words[name]
        if (test)
            has[FILENAME, name]
        text = substr(text, RSTART + RLENGTH)
    }
    next
}

{
    line = FNR
    if ($0 ~ /^## /)
        in_files = $0 == "## Files"
    if ($0 ~ /^(\||-|#|[0-9]+\.)/ || $0 ~ /^ *$/)
        file = ""
    n = split($0, part, "`")
    if (n > 0 && n % 2 == 0)
        bad("a ` is not closed on its line")
    for (i = 1; i <= n; i++)
        if (i % 2 == 0) {
            check(part[i], part[i - 1])
        } else {
            text = part[i] # pictures
            while (match(text, /[A-Za-z_][A-Za-z0-9_]*\(\)/)) {
                name = substr(text, RSTART, RLENGTH - 2)
                if (!(name in functions))
                    bad("there is no function " name "()")
                text = substr(text, RSTART + RLENGTH)
            }
        }
}

END {
    for (path in files)
        if (path ~ /^(lib|src)\//) {
            stem = path
            sub(/\.[a-z]+$/, "", stem)
            if (!(path in named) && !((stem ".c") in named) && !((stem ".h") in named))
                print "it has no line for " path ": put it under \"Files\""
        }
}
AWK
# shellcheck disable=SC2046 # names of the tree have no spaces
awk -v list="$tmp/files" -v page="$page" -f "$tmp/names.awk" "$tmp/files" \
    $(grep -v '^ARCHITECTURE\.md$' "$tmp/files" | grep -E '\.(c|h|lua|proto|hpp)$') "$page" >"$tmp/wrong"
if [ -s "$tmp/wrong" ]; then
    fail "ARCHITECTURE.md:"
    sed 's/^/  /' "$tmp/wrong"
fi

# Links within the page lead to a heading.
sed -n 's/^#* \(.*\)$/\1/p' "$page" | tr '[:upper:]' '[:lower:]' | sed 's/ (.*//; s/[`,?().:]//g; s/ /-/g' >"$tmp/headings"
grep -o '](#[a-z-]*)' "$page" | sed 's/](#//; s/)$//' | sort -u | while read -r anchor; do
    grep -qxF -- "$anchor" "$tmp/headings" || echo "$anchor"
done >"$tmp/anchors"
[ ! -s "$tmp/anchors" ] || fail "links without a heading: $(tr '\n' ' ' <"$tmp/anchors")"
grep -qF '](ARCHITECTURE.md)' README.md || fail "README.md does not link to ARCHITECTURE.md"

# ---- layers ----

includes() { # DIRECTORY FORBIDDEN
    grep -nE "^#include \"($2)/" "$1"/*.[ch] >"$tmp/forbidden" || return 0
    fail "$1 includes what stands above it:"
    sed 's/^/  /' "$tmp/forbidden"
}
includes lib/value 'redis|client|worker'
includes lib/redis 'client|worker'
includes lib/client 'worker'
grep -nE '^#include "(redis|client|worker|value)/' src/*.[ch] | while IFS= read -r include; do
    header=$(echo "$include" | sed 's/.*"\(.*\)".*/\1/')
    case $header in
    value/*) [ ! -e "lib/${header%.h}.c" ] || echo "$include" ;; # the library does not export its code
    *) echo "$include" ;;
    esac
done >"$tmp/forbidden"
if [ -s "$tmp/forbidden" ]; then
    fail "src includes the inside of the library:"
    sed 's/^/  /' "$tmp/forbidden"
fi

[ $failed -eq 0 ] || exit 1
echo "$(grep -c . "$tmp/files") files known, all names of ARCHITECTURE.md are there"
