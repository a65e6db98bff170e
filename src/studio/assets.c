/*
 * assets.c: see assets.h. The bytes are in assets_gen.h, which embed.sh makes.
 */
#include "studio/assets.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "studio/assets_gen.h"

static const struct {
    const char *suffix, *type;
} types[] = {
    { ".html", "text/html; charset=utf-8" },
    { ".js", "text/javascript; charset=utf-8" },
    { ".mjs", "text/javascript; charset=utf-8" },
    { ".css", "text/css; charset=utf-8" },
    { ".json", "application/json; charset=utf-8" },
    { ".svg", "image/svg+xml" },
    { ".png", "image/png" },
    { ".ico", "image/x-icon" },
    { ".woff2", "font/woff2" },
    { ".txt", "text/plain; charset=utf-8" },
};

const struct as_asset *as_asset_find(const char *name)
{
    if (!*name)
        name = "index.html";
    for (size_t i = 0; i < sizeof assets / sizeof assets[0]; i++)
        if (strcmp(assets[i].name, name) == 0)
            return &assets[i];
    return NULL;
}

const char *as_asset_type(const struct as_asset *asset)
{
    const char *suffix = strrchr(asset->name, '.');
    for (size_t i = 0; suffix && i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].suffix, suffix) == 0)
            return types[i].type;
    return "application/octet-stream";
}

void as_asset_tag(const struct as_asset *asset, char tag[24])
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (size_t i = 0; i < asset->size; i++)
        hash = (hash ^ asset->data[i]) * UINT64_C(1099511628211);
    snprintf(tag, 24, "\"%016llx\"", (unsigned long long) hash);
}
