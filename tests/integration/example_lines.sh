#!/bin/sh
# example_lines.sh: the installed examples compile by the lines that their first comments show, and each program and
# plugin among them has such a line.
# shellcheck disable=SC2154 # support.sh sets tmp, srcdir, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"
command -v pkg-config >/dev/null || skip "no pkg-config"
[ -e "$builddir/lib/.libs/libasqueue.so" ] || skip "no shared library was built"
unset MAKEFLAGS MFLAGS MAKELEVEL

# Makes an asqueue.pc like the installed one, for the library in the build tree.
# shellcheck disable=SC2016
sed -e "s,^prefix=.*,prefix=$tmp/prefix," -e 's,^exec_prefix=.*,exec_prefix=${prefix},' \
    -e 's,^libdir=.*,libdir=${prefix}/lib,' -e 's,^includedir=.*,includedir=${prefix}/include,' \
    "$builddir/asqueue.pc" >"$tmp/asqueue.pc"
mkdir "$tmp/prefix"
ln -s "$builddir/lib/.libs" "$tmp/prefix/lib"
ln -s "$srcdir/lib" "$tmp/prefix/include"
PKG_CONFIG_PATH=$tmp${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
export PKG_CONFIG_PATH

make -C "$builddir" install-dist_examplesDATA examplesdir="$tmp/examples" >"$tmp/make.log" 2>&1 ||
    fail "make install of the examples" "$tmp/make.log"
for file in "$srcdir"/contrib/examples/*.[ch] "$srcdir"/contrib/examples/*.cpp; do
    [ -e "$tmp/examples/${file##*/}" ] || fail "${file##*/} is not installed"
done
cd "$tmp/examples" || exit 1

# Makes cc and c++ that run the compilers of this build, with the flags that its library needs.
mkdir "$tmp/bin"
for name in "cc ${CC:-cc}" "c++ ${CXX:-c++}"; do
    printf '#!/bin/sh\nPATH=%s\nexec %s %s "$@"\n' "$PATH" "${name#* }" "${SAN_CFLAGS-}" >"$tmp/bin/${name%% *}"
done
chmod +x "$tmp/bin/cc" "$tmp/bin/c++"
PATH=$tmp/bin:$PATH
echo 'int main() { return 0; }' >"$tmp/empty.cpp"
has_cxx=false
c++ -std=c++17 -o "$tmp/empty" "$tmp/empty.cpp" >/dev/null 2>&1 && has_cxx=true

# Prints the command lines of a file's first comment; a line that ends in a backslash goes on in the next.
lines() {
    awk '
        /\*\// { exit }
        { sub(/^ \* */, "") }
        goes_on || /^c(c|\+\+) / {
            goes_on = sub(/\\$/, "")
            sub(/ && .*/, "")
            printf "%s%s", $0, goes_on ? "" : "\n"
        }' "$1"
}

built=0
for file in *.c *.cpp; do
    lines "$file" >"$tmp/lines"
    if grep -Eq '^int main\(|^ASQ_PLUGIN' "$file"; then
        [ -s "$tmp/lines" ] || fail "$file does not say how it is compiled"
    fi
    while IFS= read -r line; do
        case $line in
        c++*) $has_cxx || continue ;;
        *libcurl*) pkg-config --exists libcurl || continue ;;
        esac
        echo "$line"
        sh -c "$line" >"$tmp/cc.log" 2>&1 </dev/null || fail "$file: $line" "$tmp/cc.log"
        built=$((built + 1))
    done <"$tmp/lines"
done
[ "$built" -ge 6 ] || fail "only $built lines were found"
echo "all as expected"
