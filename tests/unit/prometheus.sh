#!/bin/sh
# prometheus.sh: checks that each metric that contrib/prometheus and as-worker(1) name is one that a
# worker serves, that as-worker(1) names each of those, and that promtool, if it is there, takes the rules.
set -eu
export LC_ALL=C
cd "${abs_top_srcdir:-.}"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0

# Names of samples, as the text has them: a family of counters or histograms has suffixes.
awk '
    /"asqueue_[a-z_]+"/ {
        match($0, /asqueue_[a-z_]+/)
        name = substr($0, RSTART, RLENGTH)
        families[name]
        if ($0 ~ /asqueue_call_[a-z]+_seconds"/ && name != "asqueue_call_failures") {
            print name "_bucket"; print name "_count"; print name "_sum"
        }
    }
    END {
        for (name in families) {
            print name
            print name "_total"
            print name "_info"
        }
    }' lib/worker/core/metrics_text.c | sort -u >"$tmp/served"
[ "$(wc -l <"$tmp/served")" -ge 60 ] || { echo "FAIL: the metrics were not found"; exit 1; }

for file in contrib/prometheus/alerts.yml contrib/prometheus/dashboard.json man/as-worker.1; do
    grep -o 'asqueue_[a-z_]*' "$file" | sort -u >"$tmp/named"
    [ "$(wc -l <"$tmp/named")" -ge 8 ] || { echo "FAIL: $file names hardly any metric"; failed=1; }
    if comm -23 "$tmp/named" "$tmp/served" | grep .; then
        echo "FAIL: $file names these, and no worker serves them"
        failed=1
    fi
done
# Each family of the source is in the manual.
grep -o '"asqueue_[a-z_]*"' lib/worker/core/metrics_text.c | tr -d '"' | sort -u | while read -r family; do
    [ "$family" = asqueue_worker ] || grep -q "$family" man/as-worker.1 || echo "$family"
done >"$tmp/missing"
if [ -s "$tmp/missing" ]; then
    echo "FAIL: as-worker(1) does not name:"
    cat "$tmp/missing"
    failed=1
fi
if command -v promtool >/dev/null; then
    promtool check rules contrib/prometheus/alerts.yml || failed=1
fi
[ $failed = 0 ] && echo "all metrics that are named are served"
exit $failed
