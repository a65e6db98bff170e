# embed.awk -v prefix=PREFIX FILE...: turns text files into C string constants, PREFIX_NAME of NAME or NAME.lua.

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

{
    # Character by character: what "\\\\" means in a replacement differs from awk to awk.
    out = ""
    for (i = 1; i <= length($0); i++) {
        c = substr($0, i, 1)
        if (c == "\\" || c == "\"")
            out = out "\\"
        out = out c
    }
    print "    \"" out "\\n\""
}

END {
    if (open)
        print "    ;"
}
