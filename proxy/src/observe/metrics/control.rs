//! Metrics of the control plane; none of them is there where nothing is carried.

use super::{Declared, metric};

pub(super) const METRICS: &[Declared] = &[
    metric("littoral_control_connected", "", "1 while the server of the control plane is there."),
    metric(
        "littoral_control_state",
        "state: none, fresh, kept, old",
        "1 for what holds of what other nodes told: nothing was heard yet; it is fresh; nothing is heard and the last state is kept; that is older \
         than control.max_age and not gone by.",
    ),
    metric("littoral_control_heard_age_seconds", "", "Since anything was heard, this node's own reports included."),
    metric(
        "littoral_control_nodes",
        "state: up, stopping, silent, differing",
        "Nodes that were heard, and those among them whose config differs from this node's.",
    ),
    metric(
        "littoral_control_votes",
        "cluster, vote: up, down",
        "Deciders by what they find of a cluster, this node included; where none but this node counts, its own vote.",
    ),
    metric(
        "littoral_control_overruled",
        "cluster",
        "1 while the quorum of the deciders makes a cluster something else than this node's own probes find.",
    ),
    metric(
        "littoral_control_heard_total",
        "outcome: taken, large, malformed, version, cluster, node, late, full",
        "Reports, votes and round-trip times that came: taken, or refused for their size, form or version, because their cluster or node is not known \
         here, because a later one was taken, for want of room.",
    ),
    metric("littoral_control_told_total", "outcome: sent, unsent", "Reports, votes and round-trip times of this node."),
    metric(
        "littoral_control_slow_total",
        "",
        "Times that messages were dropped because they came faster than they were taken.",
    ),
    metric(
        "littoral_control_purges_total",
        "outcome: sent, unsent, done, own, refused, failed",
        "Purges: kept for others, not taken for them, done for others, come back to their own node, refused, not done for an error here.",
    ),
    metric(
        "littoral_control_titles",
        "cluster",
        "Titles that were pushed to a cluster, as its nodes tell it (site.steer.content).",
    ),
    metric(
        "littoral_control_titles_asked_total",
        "outcome: heard, failed, refused",
        "Nodes of clusters asked for what was pushed to them (control.plane = \"local\"): answered, not answered, answered with what cannot be read.",
    ),
    metric("littoral_control_purges_waiting", "", "Purges that the server does not have yet."),
    metric(
        "littoral_control_purges_missed_total",
        "",
        "Purges that this node cannot get any more; of unknown number, one. Order `littoral purge --all` there.",
    ),
];
