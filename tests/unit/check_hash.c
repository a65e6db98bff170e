/*
 * check_hash.c: the hashes have the published values, and partitions depend on the part in braces.
 */
#include "value/hash.h"
#include "value/hex.h"
#include "support/suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

/* Vectors of the reference implementation of SipHash-2-4: key 00 01 … 0f, input 00 01 … of
 * length 0 to 63. Bytes in hexadecimal. */
static const char *const sip64[64] = {
    "310e0edd47db6f72", "fd67dc93c539f874", "5a4fa9d909806c0d", "2d7efbd796666785",
    "b7877127e09427cf", "8da699cd64557618", "cee3fe586e46c9cb", "37d1018bf50002ab",
    "6224939a79f5f593", "b0e4a90bdf82009e", "f3b9dd94c5bb5d7a", "a7ad6b22462fb3f4",
    "fbe50e86bc8f1e75", "903d84c02756ea14", "eef27a8e90ca23f7", "e545be4961ca29a1",
    "db9bc2577fcc2a3f", "9447be2cf5e99a69", "9cd38d96f0b3c14b", "bd6179a71dc96dbb",
    "98eea21af25cd6be", "c7673b2eb0cbf2d0", "883ea3e395675393", "c8ce5ccd8c030ca8",
    "94af49f6c650adb8", "eab8858ade92e1bc", "f315bb5bb835d817", "adcf6b0763612e2f",
    "a5c91da7acaa4dde", "716595876650a2a6", "28ef495c53a387ad", "42c341d8fa92d832",
    "ce7cf2722f512771", "e37859f94623f3a7", "381205bb1ab0e012", "ae97a10fd434e015",
    "b4a31508beff4d31", "81396229f0907902", "4d0cf49ee5d4dcca", "5c73336a76d8bf9a",
    "d0a704536ba93e0e", "925958fcd6420cad", "a915c29bc8067318", "952b79f3bc0aa6d4",
    "f21df2e41d4535f9", "87577519048f53a9", "10a56cf5dfcd9adb", "eb75095ccd986cd0",
    "51a9cb9ecba312e6", "96afadfc2ce666c7", "72fe52975a4364ee", "5a1645b276d592a1",
    "b274cb8ebf87870a", "6f9bb4203de7b381", "eaecb2a30b22a87f", "9924a43cc1315724",
    "bd838d3aafbf8db7", "0b1a2a3265d51aea", "135079a3231ce660", "932b2846e4d70666",
    "e1915f5cb1eca46c", "f325965ca16d629f", "575ff28e60381be5", "724506eb4c328a95",
};
static const char *const sip128[64] = {
    "a3817f04ba25a8e66df67214c7550293", "da87c1d86b99af44347659119b22fc45",
    "8177228da4a45dc7fca38bdef60affe4", "9c70b60c5267a94e5f33b6b02985ed51",
    "f88164c12d9c8faf7d0f6e7c7bcd5579", "1368875980776f8854527a07690e9627",
    "14eeca338b208613485ea0308fd7a15e", "a1f1ebbed8dbc153c0b84aa61ff08239",
    "3b62a9ba6258f5610f83e264f31497b4", "264499060ad9baabc47f8b02bb6d71ed",
    "00110dc378146956c95447d3f3d0fbba", "0151c568386b6677a2b4dc6f81e5dc18",
    "d626b266905ef35882634df68532c125", "9869e247e9c08b10d029934fc4b952f7",
    "31fcefac66d7de9c7ec7485fe4494902", "5493e99933b0a8117e08ec0f97cfc3d9",
    "6ee2a4ca67b054bbfd3315bf85230577", "473d06e8738db89854c066c47ae47740",
    "a426e5e423bf4885294da481feaef723", "78017731cf65fab074d5208952512eb1",
    "9e25fc833f2290733e9344a5e83839eb", "568e495abe525a218a2214cd3e071d12",
    "4a29b54552d16b9a469c10528eff0aae", "c9d184ddd5a9f5e0cf8ce29a9abf691c",
    "2db479ae78bd50d8882a8a178a6132ad", "8ece5f042d5e447b5051b9eacb8d8f6f",
    "9c0b53b4b3c307e87eaee08678141f66", "abf248af69a6eae4bfd3eb2f129eeb94",
    "0664da1668574b88b935f3027358aef4", "aa4b9dc4bf337de90cd4fd3c467c6ab7",
    "ea5c7f471faf6bde2b1ad7d4686d2287", "2939b0183223fafc1723de4f52c43d35",
    "7c3956ca5eeafc3e363e9d556546eb68", "77c6077146f01c32b6b69d5f4ea9ffcf",
    "37a6986cb8847edf0925f0f1309b54de", "a705f0e69da9a8f907241a2e923c8cc8",
    "3dc47d1f29c448461e9e76ed904f6711", "0d62bf01e6fc0e1a0d3c4751c5d3692b",
    "8c03468bca7c669ee4fd5e084bbee7b5", "528a5bb93baf2c9c4473cce5d0d22bd9",
    "df6a301e95c95dad97ae0cc8c6913bd8", "801189902c857f39e73591285e70b6db",
    "e617346ac9c231bb3650ae34ccca0c5b", "27d93437efb721aa401821dcec5adf89",
    "89237d9ded9c5e78d8b1c9b166cc7342", "4a6d8091bf5e7d651189fa94a250b14c",
    "0e33f96055e7ae893ffc0e3dcf492902", "e61c432b720b19d18ec8d84bdc63151b",
    "f7e5aef549f782cf379055a608269b16", "438d030fd0b7a54fa837f2ad201a6403",
    "a590d3ee4fbf04e3247e0d27f286423f", "5fe2c1a172fe93c4b15cd37caef9f538",
    "2c97325cbd06b36eb2133dd08b3a017c", "92c814227a6bca949ff0659f002ad39e",
    "dce850110bd8328cfbd50841d6911d87", "67f14984c7da791248e32bb5922583da",
    "1938f2cf72d54ee97e94166fa91d2a36", "74481e9646ed49fe0f6224301604698e",
    "57fca5de98a9d6d8006438d0583d8a1d", "9fecde1cefdc1cbed4763674d9575359",
    "e3040c00eb28f15366ca73cbd872e740", "7697009a6a831dfecca91c5993670f7a",
    "5853542321f567a005d547a4f04759bd", "5150d1772f50834a503e069a973fbd7c",
};

static const char *hex(const uint8_t *p, size_t n)
{
    static char text[64];
    *asq__hex(text, p, n) = '\0';
    return text;
}

static const char *hex64(uint64_t v)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (uint8_t) (v >> 8 * i);
    return hex(bytes, sizeof bytes);
}

START_TEST(siphash_gives_the_reference_vectors)
{
    struct asq__siphash_key key = { UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908) };
    uint8_t in[64], out[16];
    for (size_t n = 0; n < 64; n++) {
        in[n] = (uint8_t) n;
        ck_assert_str_eq(hex64(asq__siphash64_keyed(&key, in, n)), sip64[n]);
        asq__siphash128_keyed(&key, in, n, out);
        ck_assert_str_eq(hex(out, sizeof out), sip128[n]);
    }
}
END_TEST

/* Values of OpenSSL's SipHash. */
START_TEST(siphash_with_the_zero_key)
{
    static const struct {
        const char *in, *sip64, *sip128;
    } list[] = {
        { "", "d70077739d4b921e", "5049d74780a3e07d4202ab47d4cef2f4" },
        { "a", "49a293cd6008c296", "ffcc4e749c37a0bee6c404890ecd7325" },
        { "agent-1", "f0fde48ad4bdda97", "000240b33fc2a065111efd7d9636f73a" },
        { "0123456789abcdef", "b4a71fa90474c394", "f7b74fb64f39b8ec1f3a905b2189f0d6" },
    };
    uint8_t out[16];
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        ck_assert_str_eq(hex64(asq__siphash64(list[i].in, strlen(list[i].in))), list[i].sip64);
        asq__siphash128(list[i].in, strlen(list[i].in), out);
        ck_assert_str_eq(hex(out, sizeof out), list[i].sip128);
    }
}
END_TEST

/* Values from the authors' list of test vectors. */
START_TEST(fnv1a_gives_the_published_values)
{
    ck_assert(asq__fnv1a64("", 0) == UINT64_C(0xcbf29ce484222325));
    ck_assert(asq__fnv1a64("a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
    ck_assert(asq__fnv1a64("foobar", 6) == UINT64_C(0x85944171f73967e8));
    ck_assert(asq__fnv1a64("chongo was here!\n", 17) == UINT64_C(0x46810940eff5f915));
}
END_TEST

static uint32_t partition(const char *id, uint32_t n)
{
    return asq__partition_of(id, strlen(id), n);
}

START_TEST(only_what_stands_in_braces_decides_about_the_partition)
{
    ck_assert_uint_eq(partition("{tag}a", 4096), partition("b{tag}c", 4096));
    ck_assert_uint_eq(partition("{tag}a", 4096), partition("tag", 4096));
    ck_assert_uint_eq(partition("x{tag}{other}", 4096), partition("tag", 4096));
    /* An empty part, or one that is not closed, has no special meaning. */
    ck_assert_uint_ne(partition("{}a", 4096), partition("{}b", 4096));
    ck_assert_uint_ne(partition("{taga", 4096), partition("{tagb", 4096));
    ck_assert_uint_ne(partition("}a{", 4096), partition("}b{", 4096));
    /* Only the first brace counts, as in Redis Cluster. */
    ck_assert_uint_ne(partition("{}{tag}a", 4096), partition("{}{tag}b", 4096));
    ck_assert_uint_eq(partition("{a{b}c", 4096), partition("a{b", 4096));
    ck_assert_uint_eq(partition("", 7),
                      (uint32_t) ((UINT64_C(0xcbf29ce484222325) ^ 0xcbf29ce4) % 7));
    ck_assert_uint_eq(partition("a", 128),
                      (uint32_t) ((UINT64_C(0xaf63dc4c8601ec8c) ^ 0xaf63dc4c) % 128));
    ck_assert_uint_eq(partition("a", 1), 0);
    ck_assert_uint_eq(partition("a", 0), 0);
}
END_TEST

START_TEST(ids_spread_evenly_over_partitions)
{
    enum { PARTITIONS = 128, IDS = 128 * 1000 };
    unsigned count[PARTITIONS] = { 0 };
    for (unsigned i = 0; i < IDS; i++) {
        char id[32];
        snprintf(id, sizeof id, "agent-%u", i);
        count[partition(id, PARTITIONS)]++;
    }
    for (unsigned p = 0; p < PARTITIONS; p++) {
        ck_assert_uint_gt(count[p], 800);
        ck_assert_uint_lt(count[p], 1200);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("hash");
    TCase *c = tcase_create("hash");
    tcase_add_test(c, siphash_gives_the_reference_vectors);
    tcase_add_test(c, siphash_with_the_zero_key);
    tcase_add_test(c, fnv1a_gives_the_published_values);
    tcase_add_test(c, only_what_stands_in_braces_decides_about_the_partition);
    tcase_add_test(c, ids_spread_evenly_over_partitions);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
