#!/bin/sh
# vendor.sh SRCDIR OUTDIR: puts the library of charts, uPlot, into OUTDIR: uPlot.js, with its licence, and uPlot.css. In a
# git tree they come from npm, as SRCDIR/package-lock.json has them; release tarballs have them in SRCDIR/vendor. Where
# npm ($NPM) or its registry is missing, as-studio is built without charts, and a warning says so; make dist refuses that.
set -u
srcdir=$(cd "$1" && pwd) || exit 1
mkdir -p "$2" && outdir=$(cd "$2" && pwd) || exit 1
tmp=$outdir/npm.tmp
trap 'rm -rf "$tmp" "$outdir"/*.tmp' EXIT
trap 'exit 1' HUP INT TERM

# Both are complete, or not there: uPlot.css is what make looks at.
put() { # JS CSS
    cp "$2" "$outdir/css.tmp" && cp "$1" "$outdir/js.tmp" && mv -f "$outdir/js.tmp" "$outdir/uPlot.js" &&
        mv -f "$outdir/css.tmp" "$outdir/uPlot.css" && touch "$outdir/uPlot.css"
}

if [ -s "$srcdir/vendor/uPlot.js" ] && [ "$srcdir/vendor" != "$outdir" ]; then
    put "$srcdir/vendor/uPlot.js" "$srcdir/vendor/uPlot.css"
    exit
fi

npm=${NPM:-npm}
rm -rf "$tmp" && mkdir "$tmp" && cp "$srcdir/package.json" "$srcdir/package-lock.json" "$srcdir/.npmrc" "$tmp" || exit 1
if ! command -v "$npm" >/dev/null; then
    why="npm was not found, or not wanted (Debian: npm, Fedora: nodejs-npm, Alpine: npm)"
elif ! (cd "$tmp" && "$npm" ci --ignore-scripts --omit=dev --fetch-retries=1 --fetch-timeout=30000) >"$outdir/npm.log" 2>&1; then
    why="npm could not fetch them, see $outdir/npm.log"
else
    from=$tmp/node_modules/uplot
    { echo '/*' && cat "$from/LICENSE" && echo '*/' && cat "$from/dist/uPlot.iife.min.js"; } >"$tmp/uPlot.js" &&
        put "$tmp/uPlot.js" "$from/dist/uPlot.min.css" && rm -f "$outdir/npm.log"
    exit
fi
echo "warning: as-studio is built without charts: $why. To try again: rm -r $outdir, then make." >&2
echo 'window.uPlot = null; /* built without uPlot */' >"$tmp/uPlot.js"
echo '/* built without uPlot */' >"$tmp/uPlot.css"
put "$tmp/uPlot.js" "$tmp/uPlot.css"
