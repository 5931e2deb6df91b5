/* The hash table from strings to structs. */
#include "strmap.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { MANY = 5000 };

typedef struct item {
    sse__strnode node;
    char key[16];
} item;

static item items[MANY];

static void fill(sse__strmap *map)
{
    for (int i = 0; i < MANY; i++) {
        snprintf(items[i].key, sizeof items[i].key, "key %d", i);
        items[i].node.key = items[i].key;
        cr_assert_eq(sse__strmap_add(map, &items[i].node), SSE_OK);
    }
}

Test(strmap, is_empty_at_first)
{
    sse__strmap map = {0};
    cr_assert_null(sse__strmap_find(&map, ""));
    cr_assert_null(sse__strmap_next(&map, NULL));
    sse__strmap_fini(&map);
    cr_assert_eq(map.count, 0);
}

Test(strmap, finds_what_was_added)
{
    sse__strmap map = {0};
    fill(&map);
    cr_assert_eq(map.count, MANY);
    for (int i = 0; i < MANY; i++) {
        char key[16];
        snprintf(key, sizeof key, "key %d", i);
        cr_assert_eq(sse__strmap_find(&map, key), &items[i].node);
    }
    cr_assert_null(sse__strmap_find(&map, "key"));
    cr_assert_null(sse__strmap_find(&map, "key 5000"));
    cr_assert_geq(map.size, MANY / 2, "it grows with what is in it");
    sse__strmap_fini(&map);
}

Test(strmap, removes_one_and_leaves_the_others)
{
    sse__strmap map = {0};
    fill(&map);
    for (int i = 0; i < MANY; i += 2)
        sse__strmap_remove(&map, &items[i].node);
    cr_assert_eq(map.count, MANY / 2);
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(sse__strmap_find(&map, items[i].key), i % 2 ? &items[i].node : NULL);
    cr_assert_eq(sse__strmap_add(&map, &items[0].node), SSE_OK);
    cr_assert_eq(sse__strmap_find(&map, "key 0"), &items[0].node);
    sse__strmap_fini(&map);
}

Test(strmap, visits_each_once)
{
    static char seen[MANY];
    sse__strmap map = {0};
    fill(&map);
    size_t n = 0;
    for (sse__strnode *node = NULL; (node = sse__strmap_next(&map, node));) {
        item *it = (item *)(void *)node;
        cr_assert_eq(seen[it - items], 0);
        seen[it - items] = 1;
        n++;
    }
    cr_assert_eq(n, MANY);
    sse__strmap_fini(&map);
}

Test(strmap, hash_spreads_similar_names)
{
    size_t used[64] = {0};
    for (int i = 0; i < 6400; i++) {
        char key[16];
        int len = snprintf(key, sizeof key, "%d", i);
        used[sse__strhash(key, (size_t)len) % 64]++;
    }
    for (size_t i = 0; i < 64; i++)
        cr_assert(used[i] > 50 && used[i] < 200, "bucket %zu has %zu of 6400", i, used[i]);
    cr_assert_neq(sse__strhash("ab", 2), sse__strhash("ba", 2));
    cr_assert_eq(sse__strhash("ab", 1), sse__strhash("ac", 1));
}
