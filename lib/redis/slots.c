/*
 * slots.c: see slots.h.
 */
#include <string.h>

#include "redis/keys.h"
#include "redis/slots.h"

/* CRC16 of the XMODEM kind: polynomial 0x1021, begun with 0. Half a byte at a time, because each
 * key is asked for once. */
static uint16_t crc16(const char *s, size_t n)
{
    static const uint16_t of_half[16] = { 0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5,
                                          0x60c6, 0x70e7, 0x8108, 0x9129, 0xa14a, 0xb16b,
                                          0xc18c, 0xd1ad, 0xe1ce, 0xf1ef };
    uint16_t crc = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char byte = (unsigned char) s[i];
        crc = (uint16_t) (crc << 4) ^ of_half[(crc >> 12) ^ (byte >> 4)];
        crc = (uint16_t) (crc << 4) ^ of_half[(crc >> 12) ^ (byte & 15)];
    }
    return crc;
}

uint16_t asq__slot_of_key(const char *key, size_t n)
{
    const char *open = memchr(key, '{', n);
    if (open) {
        const char *tag = open + 1, *close = memchr(tag, '}', n - (size_t) (tag - key));
        if (close && close > tag) {
            key = tag;
            n = (size_t) (close - tag);
        }
    }
    return crc16(key, n) % ASQ__SLOTS;
}

uint16_t asq__slot_of_namespace(const struct asq__keys *keys)
{
    char key[ASQ__KEY_MAX];
    asq__keys_meta(keys, key);
    return asq__slot_of_key(key, strlen(key));
}

void asq__slots_of_partitions(const struct asq__keys *keys, uint32_t n, uint16_t *ret)
{
    char key[ASQ__KEY_MAX];
    for (uint32_t i = 0; i < n; i++) {
        size_t key_n = asq__keys_lease(keys, i, key);
        ret[i] = asq__slot_of_key(key, key_n);
    }
}
