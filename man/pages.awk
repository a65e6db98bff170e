# pages.awk: makes a manual page for each function and each type of asqueue.h, from the comment above it.
#
#     awk -f man/pages.awk [-v dir=DIR] lib/asqueue.h
#
# Writes DIR/NAME.3 for each and prints the names, one a line; without dir it only prints them.
# A comment belongs to the declaration below it, and to further ones that follow without an empty line. A
# declaration with a comment behind it on its line has that one. Without a comment, the section's is used.

function clean(line) {
    sub(/^ ?\/?\*+ ?/, "", line)
    sub(/ *\*\/$/, "", line)
    return line
}

function roff(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    sub(/^[.']/, "\\\\\\&&", text)
    return text
}

# Writes a comment's lines as paragraphs. Lines that are indented by four or more are code.
function describe(text, file,    n, line, i, code) {
    n = split(text, line, "\n")
    code = 0
    for (i = 1; i <= n; i++) {
        if (line[i] ~ /^    / && !code) {
            print ".Bd -literal -offset indent" >file
            code = 1
        } else if (line[i] !~ /^    / && line[i] != "" && code) {
            print ".Ed" >file
            code = 0
        }
        if (line[i] == "" && !code) {
            if (i < n) print ".Pp" >file
        } else if (line[i] ~ /^- /)
            print ".br\n" roff(line[i]) >file
        else
            print roff(line[i]) >file
    }
    if (code) print ".Ed" >file
}

function first_sentence(text) {
    gsub(/\n/, " ", text)
    sub(/^ +/, "", text)
    if (match(text, /[.:;]( |$)/)) text = substr(text, 1, RSTART - 1)
    if (length(text) > 70) {
        text = substr(text, 1, 70)
        sub(/ [^ ]*$/, " ...", text)
    }
    return text
}

function page(name, decl, own,    file, text, about) {
    if (name in done) return
    done[name] = 1
    print name
    if (dir == "") return
    text = comment
    if (own != "") text = leader == "" && text != "" ? text "\n\n" own : own
    if (text == "") text = section_text
    about = leader != "" && own == "" && comment != "" ? "see " leader "(3)" : first_sentence(text)
    file = dir "/" name ".3"
    print ".\\\" Made from lib/asqueue.h by man/pages.awk." >file
    print ".Dd November 28, 2026\n.Dt " toupper(name) " 3\n.Os\n.Sh NAME\n.Nm " name >file
    print ".Nd " roff(about == "" ? "part of libasqueue" : about) >file
    print ".Sh SYNOPSIS\n.In asqueue.h\n.Bd -literal" >file
    describe_code(decl, file)
    print ".Ed\n.Sh DESCRIPTION" >file
    if (about ~ /^see /) print "It is described together with\n.Xr " leader " 3 :\n.Pp" >file
    if (text != "") describe(text, file)
    else print "See\n.Xr asqueue 3 ." >file
    if (section != "") print ".Pp\nThis belongs to\n.Dq " roff(section) "\nin\n.In asqueue.h ." >file
    print ".Sh SEE ALSO\n.Xr asqueue 3" >file
    close(file)
    if (leader == "") leader = name
}

function describe_code(decl, file,    n, line, i) {
    n = split(decl, line, "\n")
    for (i = 1; i <= n; i++) print roff(line[i]) >file
}

# Finds the name that `decl` declares, and makes its page.
function declared(decl,    name, own, code) {
    own = ""
    code = decl
    if (decl ~ /^(ASQ_API|typedef)/ && match(decl, /\/\*.*\*\/$/)) {
        own = clean(substr(decl, RSTART))
        gsub(/\n +\*? ?/, "\n", own)
        code = substr(decl, 1, RSTART - 1)
        sub(/[ \n]+$/, "", code)
    }
    if (decl ~ /^ASQ_API/) {
        sub(/^ASQ_API /, "", code)
        match(code, /asq_[a-z0-9_]+\(/)
        name = substr(code, RSTART, RLENGTH - 1)
    } else if (match(code, /\(\*asq_[a-z0-9_]+\)/)) {
        name = substr(code, RSTART + 2, RLENGTH - 3)
    } else {
        name = code
        sub(/;.*$/, "", name) # a struct has its own ; inside: see below
        if (code ~ /\n}/) {
            name = code
            sub(/;[^;]*$/, "", name)
            sub(/.*\n} */, "", name)
        }
        sub(/.* \*?/, "", name)
    }
    if (name ~ /^asq_?[a-z0-9_]*$/) page(name, code, own)
}

# ---- lines ----

in_section {
    if ($0 ~ /\*\/$/) in_section = 0
    else if (section == "") { if (clean($0) != "") section = clean($0) }
    else { line = clean($0); if (section_text != "" || line != "") section_text = section_text (section_text == "" ? "" : "\n") line }
    next
}
/^\/\* -----/ { in_section = 1; section = section_text = comment = ""; fresh = 0; next }
in_comment {
    line = $0
    if (line ~ /\*\/$/) in_comment = 0
    line = clean(line)
    if (in_comment || line != "") comment = comment (comment == "" ? "" : "\n") line
    next
}
decl != "" {
    decl = decl "\n" $0
    if (is_struct ? $0 ~ /^}.*;/ : is_whole($0)) { declared(decl); decl = "" }
    next
}
/^\/\*/ {
    comment = clean($0)
    leader = ""
    in_comment = $0 !~ /\*\/$/
    next
}
/^$/ { comment = leader = ""; next }
/^(ASQ_API|typedef) / {
    decl = $0
    is_struct = $0 ~ /{$/
    if (!is_struct && is_whole($0)) { declared(decl); decl = "" }
}

# Tells whether a declaration ends on this line: with ";", or with a comment behind it.
function is_whole(line) {
    if (line ~ /\*\/$/) return 1
    return line ~ /;$/
}
