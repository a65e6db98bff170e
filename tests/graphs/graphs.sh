#!/bin/sh
# graphs.sh: runs some random call graphs from a fixed seed, without and with workers that are killed.
# tests/graphs/README.md says how to run more.

graphs=${abs_top_builddir:-.}/tests/graphs/graphs

"$graphs" --seed 1 --graphs 400 --at-once 64 || exit
# Runs a graph with a call that waits for its inputs after the caller of its caller has ended.
"$graphs" --seed 6464 --graphs 1 --durable 0 --again 60 || exit
exec "$graphs" --seed 1 --graphs 60 --kill
