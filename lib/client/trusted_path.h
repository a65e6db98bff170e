/*
 * trusted_path.h: opens a file or a folder that only root and the user of this process can change
 * or replace: not others by its mode, by the folders above it, or by a link.
 */
#ifndef ASQ_CLIENT_TRUSTED_PATH_H
#define ASQ_CLIENT_TRUSTED_PATH_H

#include <limits.h>
#include <stddef.h>

enum asq__trusted_kind { ASQ__TRUSTED_FOLDER, ASQ__TRUSTED_FILE };

/* Walks from / to `path`, one name at a time, and checks each folder, each symbolic link and the
 * target by its descriptor. Returns the target's descriptor (close-on-exec, readable), and in
 * `real` the path without links, which only root and this user can make lead elsewhere. Otherwise
 * ASQ_EPLUGIN, with a text that names the path at fault, its mode or owner, and what to do. */
int asq__trusted_open(const char *path, enum asq__trusted_kind kind, char real[PATH_MAX], char *err,
                      size_t errlen);

#endif
