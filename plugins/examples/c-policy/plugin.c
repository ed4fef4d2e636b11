/* Which cluster: the one with the shortest round-trip time, and of those that were not measured the least loaded. In C, without a libc.
 *
 *     config = { ttl_s = 30 }             # of answers; 0: the service's
 */
#define LITTORAL_ROUTING
#include "littoral.h"

static uint16_t ttl_s;
static struct {
    uint32_t rtt_us, load_permille;
} known[LITTORAL_CLUSTERS_MAX];

static const char *littoral_init(littoral_string config) {
    uint64_t wanted = littoral_number(config, "ttl_s", 0);
    if (wanted > 65535) return "ttl_s is at most 65535";
    ttl_s = (uint16_t)wanted;
    return 0;
}

static void littoral_clusters(const littoral_cluster *all, size_t count) {
    for (size_t at = 0; at < count; at++) {
        known[all[at].index % LITTORAL_CLUSTERS_MAX].rtt_us = all[at].rtt_us;
        known[all[at].index % LITTORAL_CLUSTERS_MAX].load_permille = all[at].load_permille;
    }
}

/* Measured ones come first. */
static uint64_t cost(uint16_t index) {
    return known[index].rtt_us ? known[index].rtt_us : (1ull << 32) + known[index].load_permille;
}

static littoral_choice littoral_decide(const littoral_flow *flow) {
    uint16_t best[3] = {LITTORAL_NONE, LITTORAL_NONE, LITTORAL_NONE};
    for (uint64_t left = flow->candidates; left; left &= left - 1) {
        uint16_t index = (uint16_t)__builtin_ctzll(left);
        for (int at = 0; at < 3; at++) {
            if (best[at] != LITTORAL_NONE && cost(best[at]) <= cost(index)) continue;
            uint16_t worse = best[at];
            best[at] = index;
            index = worse;
            if (index == LITTORAL_NONE) break;
        }
    }
    return (littoral_choice){best[0], best[1], best[2], ttl_s};
}
