#!/bin/sh
# graphs.sh: some random call graphs from a fixed seed, without and with workers that are killed. For
# more of them see tests/graphs/README.md.

graphs=${abs_top_builddir:-.}/tests/graphs/graphs

"$graphs" --seed 1 --graphs 200 || exit
exec "$graphs" --seed 1 --graphs 60 --kill
