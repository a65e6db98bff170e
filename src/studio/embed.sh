#!/bin/sh
# embed.sh FILE...: writes C with the bytes of the files, and a table of them by their base names, for assets.c.
set -eu
LC_ALL=C
export LC_ALL
echo "/* Made by src/studio/embed.sh. */"
i=0
for file; do
    printf '\nstatic const unsigned char asset_%d[] = {\n' $i
    od -An -v -tx1 "$file" | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g'
    echo "    0 /* an empty file has a byte, too */"
    echo "};"
    i=$((i + 1))
done
printf '\nstatic const struct as_asset assets[] = {\n'
i=0
for file; do
    printf '    { "%s", asset_%d, sizeof asset_%d - 1 },\n' "${file##*/}" $i $i
    i=$((i + 1))
done
echo "};"
