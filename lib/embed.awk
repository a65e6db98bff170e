# embed.awk -v prefix=PREFIX FILE...: turns text files into C string constants, PREFIX_NAME for NAME or NAME.lua.
# A line "-- include FILE" is replaced by the lines of FILE, which is in the directory of the including file.

BEGIN { print "/* Made by lib/embed.awk. */\n" }

FNR == 1 {
    if (open)
        print "    ;\n"
    name = FILENAME
    sub(/.*\//, "", name)
    sub(/\.lua$/, "", name)
    gsub(/[^A-Za-z0-9_]/, "_", name)
    print "static const char " prefix name "[] ="
    open = 1
}

function put(line,    out, i, c) {
    # Character by character: what "\\\\" means in a replacement differs from awk to awk.
    out = ""
    for (i = 1; i <= length(line); i++) {
        c = substr(line, i, 1)
        if (c == "\\" || c == "\"")
            out = out "\\"
        out = out c
    }
    print "    \"" out "\\n\""
}

$1 == "--" && $2 == "include" && NF == 3 {
    file = FILENAME
    sub(/[^\/]*$/, "", file)
    file = file $3
    while ((got = (getline line < file)) > 0)
        put(line)
    close(file)
    if (got < 0) {
        print "embed.awk: " FILENAME " includes " file ", which cannot be read" > "/dev/stderr"
        exit failed = 1
    }
    next
}

{ put($0) }

END {
    if (failed)
        exit 1
    if (open)
        print "    ;"
}
