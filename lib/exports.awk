# exports.awk: the functions that asqueue.h declares with ASQ_API, one a line and sorted; with
# -v form=map as the linker's version script.

/^ASQ_API / && match($0, /asq_[a-z0-9_]+\(/) {
    name = substr($0, RSTART, RLENGTH - 1)
    # Insertion sort: asort() is gawk's alone.
    for (i = n++; i > 0 && names[i - 1] > name; i--)
        names[i] = names[i - 1]
    names[i] = name
}

END {
    if (form != "map") {
        for (i = 0; i < n; i++)
            print names[i]
        exit
    }
    print "# Every symbol that libasqueue exports: `make update-map` writes it from asqueue.h, and"
    print "# tests/unit/exports.sh compares both with what the library has."
    print "ASQUEUE_0.1 {"
    print "global:"
    for (i = 0; i < n; i++)
        print "    " names[i] ";"
    print "local:"
    print "    *;"
    print "};"
}
