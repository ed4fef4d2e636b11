//! Named bounds of the DNS side.

/// Clusters: a routing policy gets the candidates as one 64-bit mask.
pub const CLUSTERS_MAX: usize = 64;
/// Nodes of one cluster.
pub const NODES_MAX: usize = 1024;
/// Zones served.
pub const ZONES_MAX: usize = 1024;
/// Records of one zone.
pub const RECORDS_MAX: usize = 1_000_000;
/// Records of one name and type: no more could be put into one message.
pub const SET_RECORDS_MAX: usize = 4096;
/// Seconds of a TTL (RFC 2181 §8).
pub const TTL_SECONDS_MAX: u32 = (1 << 31) - 1;
/// Bytes of a zone file.
pub const ZONE_BYTES_MAX: u64 = 256 << 20;
/// Keys of one zone, those that wait or have gone included.
pub const KEYS_MAX: usize = 8;
/// Files looked at in a directory of keys.
pub const KEY_DIRECTORY_FILES_MAX: usize = 65_536;
/// Bytes of a key file.
pub const KEY_FILE_BYTES_MAX: u64 = 16 << 10;
/// Signatures kept by a node; 160 bytes each.
pub const SIGNATURES_MAX: usize = 65_536;
/// Seconds that a signature holds: a resolver keeps an answer no longer, and a clock may be an hour wrong.
pub const SIGNATURE_VALIDITY_SECONDS_MIN: u32 = 4 * 3600;
/// See [`SIGNATURE_VALIDITY_SECONDS_MIN`]; who replays an old answer can do so for as long.
pub const SIGNATURE_VALIDITY_SECONDS_MAX: u32 = 90 * 86_400;
/// Changes of a zone that are remembered, so that others can be sent only those (RFC 1995).
pub const HISTORY_CHANGES_MAX: usize = 256;
/// Records of all of them together.
pub const HISTORY_RECORDS_MAX: usize = 65_536;
/// Bytes of a journal, from which on it is written anew as one whole zone.
pub const JOURNAL_BYTES_MAX: u64 = 16 << 20;
/// Shared secrets.
pub const SECRETS_MAX: usize = 256;
/// Copies of zones that are sent at a time; further ones are refused and counted.
pub const TRANSFERS_MAX: usize = 8;
/// Bytes of one message of a copy: pointers reach no further.
pub const TRANSFER_MESSAGE_BYTES: usize = 16_000;
/// Seconds that a primary may take for its next message, and for a whole copy.
pub const TRANSFER_IDLE_SECONDS: u64 = 10;
/// See [`TRANSFER_IDLE_SECONDS`].
pub const TRANSFER_SECONDS: u64 = 600;
/// Records of one transfer: of a whole zone, or of changes with what goes and what comes.
pub const TRANSFER_RECORDS_MAX: usize = 2 * RECORDS_MAX;
/// Messages of a transfer in a row that need no signature of their own (RFC 8945 §5.3.1: at least these are to be taken).
pub const TSIG_UNSIGNED_MAX: usize = 99;
/// Copies that are fetched at a time.
pub const FETCHES_MAX: usize = 8;
/// Times that a secondary is told of a change, with a pause that doubles from a second on.
pub const NOTIFY_TRIES: u32 = 5;
/// Servers that are told of a zone's changes.
pub const NOTIFIED_MAX: usize = 64;
/// Changes of zones that came by UDP and wait for those before them; a further one is answered with SERVFAIL and counted.
pub const UPDATES_WAITING_MAX: usize = 64;
/// Prefixes of clients with a round-trip time: of one text, and of all clusters together in each family of addresses.
pub const RTT_PREFIXES_MAX: usize = 65_536;
/// Clusters with a round-trip time to one prefix; the fastest ones are kept.
pub const RTT_CLUSTERS_MAX: usize = 16;
/// Prefixes by which clusters are priced; of more with a round-trip time an even selection.
pub const PRICED_PREFIXES_MAX: usize = 16_384;
/// Microseconds of a round-trip time: what takes longer is no measurement of a path.
pub const RTT_US_MAX: u32 = 10_000_000;
/// Bytes of a line of round-trip times.
pub const RTT_LINE_BYTES_MAX: usize = 96;
/// Bytes of a whole text of them.
pub const RTT_TEXT_BYTES_MAX: usize = 4 << 20;
/// Services.
pub const SERVICES_MAX: usize = 4096;
/// Prefixes of coverage zones and corrections together.
pub const PREFIXES_MAX: usize = 5_000_000;
/// Networks of one geo-IP database.
pub const DATABASE_PREFIXES_MAX: usize = 20_000_000;
/// Bytes of a coverage file.
pub const COVERAGE_BYTES_MAX: u64 = 512 << 20;
/// CNAMEs followed for one question.
pub const CNAME_CHAIN_MAX: usize = 8;
/// Bytes of a UDP answer, whatever the client offers (DNS flag day 2020).
pub const UDP_BYTES_MAX: u16 = 1232;
/// Bytes of a UDP answer to a client that may not have asked, unless the config says otherwise: as many as one without EDNS takes.
pub const UNVERIFIED_BYTES: u16 = 512;
/// Times the bytes of a query that such an answer has at most, whatever the config says.
pub const AMPLIFICATION_MAX: usize = 16;
/// Bytes of a query over UDP; what is longer is cut, and then refused as malformed.
pub const UDP_QUERY_BYTES_MAX: usize = 4096;
/// UDP sockets, and threads that answer on them, of one address.
pub const UDP_THREADS_MAX: usize = 256;
/// TCP connections of all listeners together; further ones are closed and counted.
pub const TCP_CONNECTIONS_MAX: usize = 256;
/// Seconds a TCP connection may take to send a whole message, and to take an answer.
pub const TCP_IDLE_SECONDS: u64 = 10;
/// Requests that a client may have open on one connection over HTTPS.
pub const HTTPS_STREAMS_MAX: u32 = 32;
/// Bytes of a request's head over HTTPS: what GET carries is no longer.
pub const HTTPS_HEAD_BYTES_MAX: usize = 16 << 10;
/// Bytes of a message that a request carries (RFC 8484 §6).
pub const HTTPS_MESSAGE_BYTES_MAX: usize = 65_535;
/// Servers asked for one question to the resolver, as aliases lead from one to the next.
pub const RESOLVE_STEPS_MAX: usize = 8;
/// Seconds the resolver waits for one server.
pub const RESOLVE_SERVER_SECONDS: u64 = 3;
/// Seconds after which a question to the resolver has failed.
pub const RESOLVE_SECONDS: u64 = 6;
/// Answers the resolver keeps.
pub const RESOLVER_ANSWERS_MAX: usize = 256;
/// Questions the resolver works on at a time.
pub const RESOLVER_QUESTIONS_MAX: usize = 256;
/// Exchanges the resolver remembers until it is asked for them.
pub const RESOLVER_SEEN_MAX: usize = 64;
/// Bytes of answers that the local resolver keeps, at least and at most.
pub const RESOLVER_CACHE_BYTES_MIN: usize = 64 << 10;
/// See [`RESOLVER_CACHE_BYTES_MIN`].
pub const RESOLVER_CACHE_BYTES_MAX: usize = 64 << 30;
/// Clients' prefixes for which it keeps an answer to one question.
pub const RESOLVER_PREFIXES_MAX: usize = 256;
/// Zones, servers and their answers that its recursor remembers, each.
pub const RESOLVER_INFRASTRUCTURE_MAX: usize = 2048;
/// Lookups that may be under way, at most.
pub const RESOLVER_LOOKUPS_MAX: usize = 65_536;
/// Questions that one lookup asks servers, those for DNSSEC included.
pub const RESOLVER_ASKED_MAX: usize = 100;
/// Steps down from the root and along aliases that depend on each other.
pub const RESOLVER_DEPTH_MAX: u8 = 24;
/// Aliases of one answer.
pub const RESOLVER_ALIASES_MAX: usize = 12;
/// Servers of a chosen zone that are asked for one name.
pub const RESOLVER_SERVERS_MAX: usize = 4;
/// Milliseconds that one server has for an answer, before the next one is asked.
pub const RESOLVER_SERVER_MS: u64 = 1500;
/// Seconds for which a failure is kept, so that it is not looked for by everybody anew (RFC 9520 §3.2).
pub const RESOLVER_FAILURE_SECONDS: u64 = 2;
/// Connections of its clients.
pub const RESOLVER_CONNECTIONS_MAX: usize = 256;
/// Root servers, and zones whose servers are told of clients.
pub const RESOLVER_ROOTS_MAX: usize = 64;
/// See [`RESOLVER_ROOTS_MAX`].
pub const RESOLVER_ZONES_MAX: usize = 1024;
/// Bytes of a file of trusted keys.
pub const RESOLVER_ANCHOR_BYTES_MAX: u64 = 64 << 10;

const _: () = assert!(CLUSTERS_MAX <= 64);
