/*
 * assets.h: the files of the page, which are part of the program.
 */
#ifndef ASQ_SRC_STUDIO_ASSETS_H
#define ASQ_SRC_STUDIO_ASSETS_H

#include <stddef.h>

struct as_asset {
    const char *name; /* as in its address, without the slash */
    const unsigned char *data;
    size_t size;
};

/* Returns the file of a name ("": index.html); NULL: there is none. */
const struct as_asset *as_asset_find(const char *name);
/* Returns its media type, by its suffix. */
const char *as_asset_type(const struct as_asset *asset);
/* Writes its entity tag, with quotes: it changes with the contents. */
void as_asset_tag(const struct as_asset *asset, char tag[24]);

#endif
