/* The histogram: how exact it is, at every size of value, and what its quantiles say. */
#include "histogram.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

static histogram *fresh(void)
{
    histogram *h = calloc(1, sizeof *h);
    cr_assert_not_null(h);
    return h;
}

Test(bench_histogram, small_values_are_exact)
{
    for (uint64_t v = 0; v < 256; v++)
        cr_assert_eq(histogram_value(histogram_index(v)), v);
}

Test(bench_histogram, any_value_comes_back_within_one_per_cent)
{
    for (unsigned bits = 8; bits < HISTOGRAM_MAX_BITS; bits++)
        for (unsigned part = 0; part < 1000; part++) {
            uint64_t v = ((uint64_t)1 << bits) + (((uint64_t)1 << bits) / 1000) * part;
            double got = (double)histogram_value(histogram_index(v));
            cr_assert_lt(fabs(got - (double)v) / (double)v, 0.01, "%llu came back as %.0f",
                         (unsigned long long)v, got);
        }
}

Test(bench_histogram, buckets_follow_each_other_without_holes)
{
    size_t last = histogram_index(0);
    cr_assert_eq(last, 0);
    for (uint64_t v = 1; v < 1 << 20; v++) {
        size_t i = histogram_index(v);
        cr_assert(i == last || i == last + 1, "value %llu", (unsigned long long)v);
        last = i;
    }
}

Test(bench_histogram, what_is_too_large_is_still_counted_and_the_maximum_exact)
{
    histogram *h = fresh();
    histogram_add(h, UINT64_MAX);
    histogram_add(h, 5);
    cr_assert_eq(h->count, 2);
    cr_assert_eq(histogram_index(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
    cr_assert_eq(histogram_quantile(h, 1.0), UINT64_MAX);
    cr_assert_eq(histogram_quantile(h, 0.5), 5);
    free(h);
}

Test(bench_histogram, quantiles_of_an_even_spread)
{
    static const double quantiles[] = {0.01, 0.5, 0.9, 0.99, 0.999, 1.0};
    histogram *h = fresh();
    for (uint64_t v = 1; v <= 1000000; v++)
        histogram_add(h, v);
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
        double got = (double)histogram_quantile(h, quantiles[i]);
        cr_assert_float_eq(got / (quantiles[i] * 1e6), 1.0, 0.01);
    }
    cr_assert_eq(histogram_quantile(h, 1.0), 1000000);
    free(h);
}

Test(bench_histogram, of_nothing_is_zero_and_never_more_than_the_maximum)
{
    histogram *h = fresh();
    cr_assert_eq(histogram_quantile(h, 0.99), 0);
    histogram_add(h, 1000001);
    cr_assert_leq(histogram_quantile(h, 0.5), 1000001);
    free(h);
}

Test(bench_histogram, merging_adds_up)
{
    histogram *a = fresh(), *b = fresh();
    for (uint64_t v = 0; v < 1000; v++)
        histogram_add(v % 2 ? a : b, v * 1000);
    histogram_merge(a, b);
    cr_assert_eq(a->count, 1000);
    cr_assert_eq(a->max, 999000);
    cr_assert_float_eq((double)histogram_quantile(a, 0.5) / 499000.0, 1.0, 0.01);
    free(a);
    free(b);
}
