/* Sends who comes without TLS to the same place with it: 308 (RFC 9110 §15.4.9). In C, without a libc.
 *
 *     config = { port = 8443 }            # in the address that it sends to; 443 is left out
 */
#define LITTORAL_FILTER
#define LITTORAL_NO_LOOKUP
#define LITTORAL_NO_ORIGIN
#define LITTORAL_NO_RESPONSE
#define LITTORAL_NO_BODY
#include "littoral.h"

static char port[8];
static size_t port_length;

static const char *littoral_init(littoral_string config, littoral_manifest *asks) {
    uint64_t wanted = littoral_number(config, "port", 443);
    if (wanted < 1 || wanted > 65535) return "port is 1 to 65535";
    size_t digits = 0;
    for (uint64_t left = wanted; left; left /= 10) digits++;
    port_length = wanted == 443 ? 0 : digits + 1;
    for (size_t at = digits; port_length && at > 0; at--, wanted /= 10) port[at] = (char)('0' + wanted % 10);
    port[0] = ':';
    asks->points = LITTORAL_AT_REQUEST;
    return 0;
}

static bool littoral_on_request(littoral_reply *reply) {
    if (littoral_secure()) return false;
    littoral_string parts[] = {littoral_text("https://"), littoral_host(), {port, port_length}, littoral_target()};
    size_t length = 0;
    for (size_t at = 0; at < 4; at++) length += parts[at].length;
    char *place = littoral_alloc(length), *end = place;
    for (size_t at = 0; at < 4; end += parts[at++].length) memcpy(end, parts[at].bytes, parts[at].length);
    littoral_field_of *fields = littoral_alloc(sizeof *fields);
    *fields = (littoral_field_of){littoral_text("location"), {place, length}};
    *reply = (littoral_reply){308, fields, 1, {0, 0}};
    return true;
}
