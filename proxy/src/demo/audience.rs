//! Players in every city, and the table of what each got.
//!
//! After the last step the audience goes on, lightly, so that the live page has something to show.

use std::time::Duration;

use anyhow::ensure;
use comfy_table::{CellAlignment, Table, TableComponent, presets};
use futures_util::StreamExt;
use littoral_geo::stub::subnet_of;

use super::Stage;
use super::board::{CityRow, ClusterRow, share};
use super::cities::City;
use super::players::{self, Viewing};
use super::policies;
use super::world::{SITES, TITLES};
use crate::play::Rule;

/// Players at a time: two cores carry no more without measuring each other.
const AT_ONCE: usize = 3;
const PAUSE: Duration = Duration::from_secs(2);

/// One player per city; the table is printed and kept for the page.
///
/// # Errors
/// When a play fails or a city was served by another cluster than its own.
pub(super) async fn watch_everywhere(stage: &Stage) -> anyhow::Result<()> {
    let choosers = [Rule::Throughput, Rule::Edge].into_iter().cycle();
    let plays = futures_util::stream::iter(stage.cities.iter().zip(choosers)).map(async |(city, rule)| {
        let explained = policies::explain(stage, city.client).await?;
        let viewing = players::watch(stage, TITLES[0], city, rule).await?;
        check(city, &viewing, explained["reason"].as_str().unwrap_or_default())?;
        anyhow::Ok(row(city, rule, &viewing))
    });
    let rows: Vec<_> = plays.buffered(AT_ONCE).collect().await;
    let rows = rows.into_iter().collect::<anyhow::Result<Vec<CityRow>>>()?;
    stage.board.block(&table(&rows).to_string());
    let mean = rows.iter().map(|row| row.startup_ms).sum::<f64>() / rows.len() as f64;
    let stalls: usize = rows.iter().map(|row| row.stalls).sum();
    stage.board.say(&format!("{} plays, 0 failed, {stalls} stalls, start-up {mean:.0} ms on average", rows.len()));
    stage.board.update(|show| show.cities = rows);
    show_clusters(stage).await;
    Ok(())
}

fn check(city: &City, viewing: &Viewing, reason: &str) -> anyhow::Result<()> {
    let City { name, cluster, rule, .. } = city;
    ensure!(viewing.failed == 0, "{name}: {} segments failed: {}", viewing.failed, viewing.failure());
    ensure!(viewing.clusters == [*cluster], "{name} was served by {:?}, not by {cluster}", viewing.clusters);
    ensure!(reason == *rule, "{name} was placed by `{reason}`, not by `{rule}`");
    Ok(())
}

/// Light traffic from a city at a time, forever.
pub(super) async fn go_on(stage: &Stage) {
    let choosers = [Rule::Throughput, Rule::Edge].into_iter().cycle();
    for (city, rule) in stage.cities.iter().cycle().zip(choosers) {
        match players::watch(stage, TITLES[0], city, rule).await {
            Ok(viewing) => {
                let row = row(city, rule, &viewing);
                let hits = row.hit_ratio * 100.0;
                stage.board.event(&format!(
                    "{}: {} segments from {}, {hits:.0} % hits",
                    city.name, viewing.segments, row.cluster
                ));
                stage.board.update(|show| replace(&mut show.cities, row));
            }
            Err(error) => stage.board.event(&format!("{}: {error:#}", city.name)),
        }
        show_clusters(stage).await;
        if let Ok(rows) = policies::rows(stage).await {
            stage.board.update(|show| show.policies = rows);
        }
        stage.refresh();
        tokio::time::sleep(PAUSE).await;
    }
}

fn replace(rows: &mut Vec<CityRow>, row: CityRow) {
    match rows.iter_mut().find(|old| old.city == row.city) {
        Some(old) => *old = row,
        None => rows.push(row),
    }
}

/// Asks every edge for its own counters; an edge that is down is shown as such.
async fn show_clusters(stage: &Stage) {
    let mut rows = Vec::new();
    for site in &SITES {
        let edge = stage.world.edge(site.id);
        let counters = match edge.admin() {
            Ok(admin) if edge.is_alive() => policies::counters(&stage.web, admin).await.ok(),
            _ => None,
        };
        let up = counters.is_some();
        let policies::Counters { requests, hits, evicted, bytes } = counters.unwrap_or_default();
        let (cluster, hit_ratio) = (site.id.to_owned(), share(hits, requests));
        rows.push(ClusterRow { cluster, up, requests, hits, hit_ratio, evicted, bytes });
    }
    stage.board.update(|show| show.clusters = rows);
}

fn row(city: &City, rule: Rule, viewing: &Viewing) -> CityRow {
    CityRow {
        city: city.name.clone(),
        subnet: subnet_of(city.client).to_string(),
        rule: city.rule.into(),
        cluster: viewing.clusters.join(" → "),
        hit_ratio: viewing.hit_ratio(),
        kbit_per_s: viewing.kbit_per_s,
        representations: viewing.ladder_walk(),
        link: city.link_text.into(),
        chosen_by: if rule == Rule::Edge { "edge" } else { "player" },
        startup_ms: viewing.startup_ms,
        stalls: viewing.stalls,
        failed: viewing.failed,
    }
}

fn table(rows: &[CityRow]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    for between_rows in [TableComponent::HorizontalLines, TableComponent::MiddleIntersections] {
        table.remove_style(between_rows);
    }
    table.set_header(["city", "subnet", "by", "cluster", "hits", "link", "chosen by", "rate", "start-up", "stalls"]);
    for row in rows {
        table.add_row([
            row.city.clone(),
            row.subnet.clone(),
            row.rule.clone(),
            row.cluster.clone(),
            format!("{:.0} %", row.hit_ratio * 100.0),
            row.link.clone(),
            row.chosen_by.to_owned(),
            format!("{:.0} kbit/s", row.kbit_per_s),
            format!("{:.0} ms", row.startup_ms),
            row.stalls.to_string(),
        ]);
    }
    for column in [4, 7, 8, 9] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
