# embed.awk: turns Lua scripts into C string constants, asq__lua_NAME for each NAME.lua.

BEGIN { print "/* Made by lib/embed.awk from the .lua files. */\n" }

FNR == 1 {
    if (open)
        print "    ;\n"
    name = FILENAME
    sub(/.*\//, "", name)
    sub(/\.lua$/, "", name)
    gsub(/[^A-Za-z0-9_]/, "_", name)
    print "static const char asq__lua_" name "[] ="
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
