#!/bin/sh
# Makes ./configure from configure.ac, for those who build from a git clone.
cd "$(dirname "$0")" && exec autoreconf --force --install --warnings=all
