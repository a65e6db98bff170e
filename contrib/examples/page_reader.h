/* page_reader.h: the class PageReader, which web_search uses and dist_server runs. */
#ifndef PAGE_READER_H
#define PAGE_READER_H

#include <asqueue.h>

#define READER_EFETCH  ASQ_EUSER(1) /* the page cannot be fetched */
#define READER_ESTATUS ASQ_EUSER(2) /* the server answered with an HTTP error */
#define READER_ETYPE   ASQ_EUSER(3) /* the page is not text */
#define READER_ESIZE   ASQ_EUSER(4) /* the page is too large */

extern const asq_class page_reader_class;

/* Prepares libcurl; call it once, before other threads and before asq_open. Returns 0 or
 * ASQ_ESYS. */
int page_reader_init(void);

#endif
