#!/bin/sh
# autogen.sh: makes ./configure from configure.ac, which a build from a git clone needs.
cd "$(dirname "$0")" && exec autoreconf --force --install --warnings=all
