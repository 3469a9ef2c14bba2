/* Memory of the order-by-order books: zeroed pages, huge ones where the kernel has them. A table that is looked up at
 * random costs a page walk per look-up in pages of 4 KiB. */
#ifndef TICKCAST_NORMALIZE_ORDER_BOOK_H
#define TICKCAST_NORMALIZE_ORDER_BOOK_H

#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE
#endif
#include <stddef.h>
#include <sys/mman.h>

/* NULL: no memory. */
static inline void *tc_pages(size_t nbytes)
{
    void *at = mmap(NULL, nbytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    (void)madvise(at, nbytes, MADV_HUGEPAGE); /* refused: it is only slower */
    return at;
}

static inline void tc_pages_free(void *at, size_t nbytes)
{
    if (at)
        munmap(at, nbytes);
}

static inline void tc_prefetch(const void *at) { __builtin_prefetch(at); }

#endif
