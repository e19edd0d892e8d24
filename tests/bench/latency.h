/* The clock, and a histogram of how long calls took. */
#include <stdint.h>
#include <stdio.h>
#include <time.h>

enum {
    SUBBITS = 5, /* 32 steps in each power of two: 3 % */
    BUCKETS = 64 << SUBBITS,
};

static uint64_t nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Exact below 2^SUBBITS, then 2^SUBBITS steps in each power of two. */
static unsigned bucket(uint64_t ns) {
    if (ns < 1u << SUBBITS)
        return (unsigned)ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - SUBBITS;
    return ((shift + 1) << SUBBITS) + (unsigned)((ns >> shift) & ((1u << SUBBITS) - 1));
}

static uint64_t bucket_begin(unsigned at) {
    if (at < 1u << SUBBITS)
        return at;
    unsigned shift = (at >> SUBBITS) - 1;
    return (uint64_t)((1u << SUBBITS) + (at & ((1u << SUBBITS) - 1))) << shift;
}

static uint64_t histogram[BUCKETS];

static void took(uint64_t ns) {
    histogram[bucket(ns)]++;
}

/* As JSON: where each bucket begins that has any, and how many. */
static void print_latency(void) {
    const char *comma = "";
    for (unsigned n = 0; n < BUCKETS; n++)
        if (histogram[n]) {
            printf("%s[%llu, %llu]", comma, (unsigned long long)bucket_begin(n),
                   (unsigned long long)histogram[n]);
            comma = ", ";
        }
}
