//! Metrics of plugins: of all, of filters and of services. What they say is sampled in [`crate::plugins`].

use super::{Declared, metric};

/// All of them.
pub(super) const METRICS: &[Declared] = &[
    metric("littoral_plugin_calls_total", "plugin", "Calls into a plugin."),
    metric(
        "littoral_plugin_faults_total",
        "plugin, kind",
        "Calls that failed: the native policy answered instead, a filter was gone past or closed, a service's connection was closed.",
    ),
    metric("littoral_plugin_fuel_total", "plugin", "Fuel used."),
    metric("littoral_plugin_memory_bytes", "plugin", "Linear memory of its instances."),
    metric("littoral_plugin_all_memory_bytes", "", "Linear memory of all instances of all plugins together."),
    metric(
        "littoral_plugin_all_memory_refused_total",
        "",
        "Instances that did not get memory: all plugins together had as much as `plugins.memory` allows.",
    ),
    metric(
        "littoral_plugin_generation",
        "plugin",
        "Generation in force; it grows with each reload. 0: it is not loaded.",
    ),
    metric(
        "littoral_plugin_generation_calls_total",
        "plugin, generation",
        "Calls of the generation that runs and of the candidate beside it, since each was loaded: requests' points, connections, datagrams, events of a swarm.",
    ),
    metric("littoral_plugin_generation_faults_total", "plugin, generation", "Faults held against them."),
    metric("littoral_plugin_loaded", "plugin", "1 when it is loaded, 0 while it could not be."),
    metric(
        "littoral_plugin_turned_away_total",
        "plugin",
        "Requests, connections and datagrams turned away because the plugin is not loaded; counted anew each time it is not.",
    ),
    metric(
        "littoral_plugin_rollout_percent",
        "plugin",
        "Share of the plugin's candidate in the requests; 0 when its roll-out has ended.",
    ),
    metric("littoral_plugin_rollout_generation", "plugin", "Generation that is rolled out, or was last."),
    metric(
        "littoral_plugin_rollout_calls_total",
        "plugin, side: present, candidate",
        "Calls since a roll-out began, by who was asked; they begin anew with the next.",
    ),
    metric(
        "littoral_plugin_rollout_faults_total",
        "plugin, side: present, candidate",
        "Calls that failed since a roll-out began. What the candidate fails at is asked of what runs.",
    ),
    metric(
        "littoral_plugin_counts_total",
        "plugin, counter",
        "What a plugin counts by itself, by its counters' numbers.",
    ),
    metric(
        "littoral_plugin_recorded_total",
        "plugin, outcome: written, dropped, failed",
        "Decisions recorded; dropped: 4096 were waiting; failed: writes, whatever they held.",
    ),
    metric(
        "littoral_plugin_dropped_total",
        "plugin, what: line, count",
        "Lines of the log beyond ten a second, and counts of counters beyond 64: what a plugin said and nobody heard.",
    ),
    metric("littoral_plugin_quarantined", "plugin", "1 while it is in quarantine."),
    metric("littoral_filter_calls_total", "plugin, point", "Calls of a filter, by point of the request."),
    metric("littoral_filter_faults_total", "plugin, point, kind", "Calls of a filter that failed, by point and kind."),
    metric("littoral_filter_instances", "plugin", "Instances of a filter."),
    metric("littoral_filter_store_bytes", "plugin", "Bytes in the store of a filter that was granted one."),
    metric("littoral_service_connections", "plugin", "Connections that a service has now."),
    metric(
        "littoral_service_connections_total",
        "plugin, outcome: done, error, fault, cut, refused",
        "Connections that have ended: by the service, with an error it told, by a fault, by the node, without having been served.",
    ),
    metric("littoral_service_bytes_total", "plugin, direction: in, out, discarded", "Bytes from and to its clients."),
    metric(
        "littoral_service_troubles_total",
        "plugin, kind: closed, timeout, tls, ending",
        "Operations of a service on its connections that did not do what they were asked.",
    ),
    metric("littoral_service_answers_dropped_total", "plugin", "Answers to datagrams that were too many or too large."),
    metric("littoral_service_busy_seconds_total", "plugin", "Time that a service worked, and did not wait."),
    metric(
        "littoral_service_clients_refused",
        "plugin",
        "Clients refused for now: a service failed in their connections.",
    ),
    metric(
        "littoral_plugin_durable_bytes",
        "plugin",
        "Bytes that a filter or service keeps on disk, where it was granted that.",
    ),
    metric(
        "littoral_plugin_dialled",
        "plugin",
        "Connections that a filter or service has made, where it was granted whom.",
    ),
    metric(
        "littoral_plugin_dials_total",
        "plugin, outcome: not-granted, not-found, unreachable, timeout, too-many, tls, connected",
        "What became of a filter's or service's dialling.",
    ),
    metric(
        "littoral_plugin_dialled_bytes_total",
        "plugin, direction: in, out",
        "Bytes from and to whom it has dialled.",
    ),
    metric(
        "littoral_plugin_dialled_troubles_total",
        "plugin, kind: closed, timeout, tls, ending",
        "Operations on these connections that did not do what they were asked.",
    ),
    metric(
        "littoral_plugin_fetches_open",
        "plugin",
        "Requests by HTTP that a plugin has under way, where it was granted whom.",
    ),
    metric(
        "littoral_plugin_fetches_total",
        "plugin, outcome: not-granted, not-found, unreachable, timeout, too-many, tls, too-large, broken, answered",
        "What became of a plugin's requests by HTTP.",
    ),
    metric(
        "littoral_plugin_fetches_bytes_total",
        "plugin, direction: in, out",
        "Bytes of the bodies of those that were answered.",
    ),
    metric("littoral_plugin_fetches_seconds_total", "plugin", "Time that a plugin waited for its requests."),
    metric(
        "littoral_plugin_ticks_total",
        "plugin, outcome: done, trap, deadline, memory, nonsense, init, busy, gave-up",
        "Ticks of a plugin that ticks, by how they ended.",
    ),
    metric("littoral_plugin_durable_keys", "plugin", "Entries that a filter or service keeps on disk."),
    metric("littoral_plugin_durable_file_bytes", "plugin", "Bytes of the file they are in."),
    metric(
        "littoral_plugin_durable_operations_total",
        "plugin, kind: get, keys, commit",
        "What filters and services asked of their stores on disk, what was refused included.",
    ),
    metric(
        "littoral_plugin_durable_refused_total",
        "plugin, kind: full, conflict, too-much, busy, failed",
        "What stores on disk refused.",
    ),
    metric(
        "littoral_plugin_durable_syncs_total",
        "plugin",
        "How often a store on disk waited for the disk to have what was committed; several commits may be one.",
    ),
    metric("littoral_service_store_bytes", "plugin", "Bytes in the store of a service that was granted one."),
    metric("littoral_swarm_starts_total", "plugin", "Instances of a swarm that were started."),
    metric(
        "littoral_swarm_events_total",
        "plugin, event: opened, data, ended, writable, closed, datagram, timer, found, digested, answered",
        "What a swarm was told.",
    ),
    metric(
        "littoral_swarm_spliced_bytes_total",
        "plugin",
        "Bytes that went from the cache to a swarm's peers, unseen by it.",
    ),
    metric("littoral_swarm_summed_bytes_total", "plugin", "Bytes of contents that were summed up for a swarm."),
    metric(
        "littoral_swarm_datagrams_total",
        "plugin, outcome: dropped, sent, refused",
        "Datagrams that came and were not told, as the swarm was behind or there was none; that it sent; that it might not send.",
    ),
    metric("littoral_swarm_timers", "plugin", "Timers that a swarm has set."),
    metric("littoral_swarm_contents", "plugin", "Contents of the cache that a swarm holds."),
    metric("littoral_swarm_queued_bytes", "plugin", "Bytes queued for a swarm's peers."),
    metric(
        "littoral_swarm_paused_seconds_total",
        "plugin",
        "Time in which a swarm was told nothing, as it had computed for more than its share.",
    ),
];
