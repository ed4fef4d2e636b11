//! What becomes of a world under a policy, second by second: resolvers that keep answers, clusters that tell loads, a crowd, a loss.
//!
//! Decisions are those of [`Director`], at a time of this simulation's own. A block asks for itself, with its subnet, for each service; its
//! resolver keeps the answer for its TTL. Clusters tell their loads each second; what is beyond what they can do they cannot tell. One that is lost
//! fails three probes before it is known to be down.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use littoral_geo::rtt::{Means, Prefix, Row, Told};
use littoral_geo::{Cluster, Director, GeoConfig, NONE, Node, Override, Routing, Service, ZoneSource};

use super::world::{Dice, SERVICES, World};

/// TTL of the services, seconds.
pub const TTL_S: u64 = 30;
/// Seconds until a cluster that is lost is known to be.
const DETECTED_S: u64 = 3;
/// When the simulation begins, Unix milliseconds.
const START_MS: u64 = 1_800_000_000_000;
/// Mbit/s that a cluster with all of the demand as its capacity would have.
const ALL_MBPS: f64 = 1_000_000.0;
/// Of a told load what is noise; and of a block's demand what comes and goes, changing once a minute.
const LOAD_NOISE: f64 = 0.01;
const DEMAND_NOISE: f64 = 0.2;

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Nothing, from a start without any knowledge.
    Steady,
    /// A region demands five times as much.
    Crowd,
    /// The busiest cluster is gone.
    Loss,
}

/// A second of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Second {
    /// Mean milliseconds over all demand.
    pub mean_ms: f64,
    /// Share of the demand beyond what its cluster can do.
    pub over: f64,
    /// Use of the busiest cluster.
    pub peak: f64,
    /// Share of the demand that went to another cluster.
    pub moved: f64,
    /// Of the answers given the mean TTL, seconds; 0 when none was.
    pub ttl_s: f64,
}

/// What was seen after an event.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Which.
    pub event: Event,
    /// Second by second.
    pub seconds: Vec<Second>,
    /// 95th percentile of milliseconds over the demand, at its end.
    pub p95_ms: f64,
    /// Demand of the blocks, and what clusters could do.
    pub demand: Vec<f64>,
    /// See `demand`.
    pub capacity: Vec<f64>,
}

/// One run.
pub struct Simulation<'a> {
    world: &'a World,
    director: Director,
    _files: tempfile::TempDir,
    /// Whether clusters tell loads.
    tells: bool,
    dice: Dice,
    at_s: u64,
    /// By block and service.
    cluster: Vec<usize>,
    due_s: Vec<u64>,
    /// By block.
    factor: Vec<f64>,
    lost: Option<(usize, u64)>,
}

fn block_address(block: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 + ((block as u32) << 8))
}

impl<'a> Simulation<'a> {
    /// Puts a policy into the seat of a director of this world. Its clusters have told the times of all blocks to the fastest of them.
    ///
    /// # Errors
    /// When the world is none for a director.
    pub fn new(world: &'a World, routing: Arc<dyn Routing>, tells: bool, seed: u64) -> Result<Self> {
        let files = tempfile::tempdir()?;
        let zone = files.path().join("zone");
        std::fs::write(
            &zone,
            "$ORIGIN cdn.example.\n@ 60 IN SOA ns hostmaster 1 60 60 60 30\n@ 60 IN NS ns\nns 60 IN A 192.0.2.53\n",
        )?;
        let cluster = |(index, (at, capacity)): (usize, (&[f64; 2], &f64))| Cluster {
            id: format!("c{index}"),
            deep: false,
            at: *at,
            capacity_mbps: (capacity * ALL_MBPS) as u32,
            nodes: vec![Node { v4: Some([192, 0, 2, index as u8].into()), v6: None, weight: 1 }],
            draining: false,
            prefixes: Vec::new(),
            systems: Vec::new(),
        };
        let place = |(block, at): (usize, &[f64; 2])| {
            let prefix = Prefix::of(block_address(block).into()).into();
            Override { prefix, cluster: None, at: Some(*at) }
        };
        let service = |number: usize| Service {
            name: service_name(number),
            clusters: vec!["*".into()],
            ttl: Duration::from_secs(TTL_S),
            answers: 1,
        };
        let config = GeoConfig {
            overrides: world.places.iter().enumerate().map(place).collect(),
            clusters: world.sites.iter().zip(&world.capacity).enumerate().map(cluster).collect(),
            zones: vec![ZoneSource { name: "cdn.example.".into(), file: zone, ..ZoneSource::default() }],
            services: (0..SERVICES).map(service).collect(),
            ..GeoConfig::default()
        };
        let (director, _) = Director::new(config, routing).map_err(|error| anyhow!(error))?;
        director.hear_rtts(told(world), START_MS);
        let (units, blocks) = (world.demand.len() * SERVICES, world.demand.len());
        let dice = Dice(seed ^ 0x5e1e_c701);
        let (cluster, due_s) = (vec![usize::from(NONE); units], vec![0; units]);
        Ok(Self {
            world,
            director,
            _files: files,
            tells,
            dice,
            at_s: 0,
            cluster,
            due_s,
            factor: vec![1.0; blocks],
            lost: None,
        })
    }

    /// Lets `seconds` pass after an event.
    ///
    /// # Errors
    /// When the director names nobody.
    pub fn run(&mut self, event: Event, seconds: u64) -> Result<Seen> {
        let demand = if event == Event::Crowd { self.world.crowded() } else { self.world.demand.clone() };
        if event == Event::Loss {
            let loads = self.loads(&demand);
            let busiest = (0..loads.len()).max_by(|one, other| loads[*one].total_cmp(&loads[*other]));
            self.lost = busiest.map(|at| (at, self.at_s));
        }
        let mut seen = Vec::new();
        for _ in 0..seconds {
            seen.push(self.second(&demand)?);
        }
        let mut capacity = self.world.capacity.clone();
        self.lost.iter().for_each(|(at, _)| capacity[*at] = 0.0);
        Ok(Seen { event, seconds: seen, p95_ms: self.p95_ms(&demand), demand, capacity })
    }

    fn now(&self) -> Duration {
        Duration::from_millis(START_MS) + Duration::from_secs(self.at_s)
    }

    fn second(&mut self, demand: &[f64]) -> Result<Second> {
        for block in (0..self.factor.len()).filter(|block| (block + self.at_s as usize).is_multiple_of(60)) {
            self.factor[block] = (DEMAND_NOISE * self.dice.normal()).exp();
        }
        let demand: Vec<f64> = demand.iter().zip(&self.factor).map(|(demand, factor)| demand * factor).collect();
        let all: f64 = demand.iter().sum();
        let (moved, ttl_s) = self.ask(&demand)?;
        let loads = self.loads(&demand);
        let mut second = Second { moved: moved / all, ttl_s, ..Second::default() };
        for (at, (load, capacity)) in loads.iter().zip(&self.world.capacity).enumerate() {
            if self.lost.is_some_and(|(lost, _)| lost == at) {
                second.over += load / all;
                continue;
            }
            second.over += (load - capacity).max(0.0) / all;
            second.peak = second.peak.max(load / capacity);
        }
        let ways = self
            .cluster
            .iter()
            .enumerate()
            .map(|(unit, cluster)| self.of_unit(&demand, unit) * self.world.rtt_ms[unit / SERVICES][*cluster]);
        second.mean_ms = ways.sum::<f64>() / all;
        self.tell(&loads);
        self.at_s += 1;
        Ok(second)
    }

    fn of_unit(&self, demand: &[f64], unit: usize) -> f64 {
        demand[unit / SERVICES] * self.world.split[unit / SERVICES][unit % SERVICES]
    }

    /// Whose answers have run out ask again: the demand that moved, and the mean TTL of what they got.
    fn ask(&mut self, demand: &[f64]) -> Result<(f64, f64)> {
        let names: Vec<String> = (0..SERVICES).map(service_name).collect();
        let (mut moved, mut ttls, mut asked) = (0.0, 0.0, 0.0);
        for unit in 0..self.cluster.len() {
            if self.due_s[unit] > self.at_s {
                continue;
            }
            let client = IpAddr::V4(block_address(unit / SERVICES));
            let decision = self.director.decide_at(&names[unit % SERVICES], client, self.now());
            let decision = decision.ok_or_else(|| anyhow!("the service is not there"))?;
            let first = decision.clusters().next().ok_or_else(|| anyhow!("nobody serves {client}"))?;
            let before = std::mem::replace(&mut self.cluster[unit], usize::from(first));
            if before != usize::from(first) && before != usize::from(NONE) {
                moved += self.of_unit(demand, unit);
            }
            // At first they have answers of all ages.
            let ttl_s = u64::from(decision.ttl_s);
            let holds_s = if before == usize::from(NONE) { 1 + self.dice.bits() % ttl_s } else { ttl_s };
            self.due_s[unit] = self.at_s + holds_s;
            (ttls, asked) = (ttls + ttl_s as f64, asked + 1.0);
        }
        Ok((moved, if asked > 0.0 { ttls / asked } else { 0.0 }))
    }

    fn loads(&self, demand: &[f64]) -> Vec<f64> {
        let mut loads = vec![0.0; self.world.capacity.len()];
        for (unit, cluster) in self.cluster.iter().enumerate() {
            loads[*cluster] += self.of_unit(demand, unit);
        }
        loads
    }

    /// Clusters tell how they are, and time passes for the director.
    fn tell(&mut self, loads: &[f64]) {
        for (at, (load, capacity)) in loads.iter().zip(&self.world.capacity).enumerate() {
            let down = self.lost.is_some_and(|(lost, since_s)| lost == at && self.at_s >= since_s + DETECTED_S);
            let silent = down || self.lost.is_some_and(|(lost, _)| lost == at);
            let permille = 1000.0 * load / capacity * (1.0 + LOAD_NOISE * self.dice.normal());
            let told = if silent || !self.tells { 0 } else { permille.clamp(0.0, 1000.0) as u16 };
            self.director.set_cluster_state(&format!("c{at}"), !down, told);
        }
        self.director.price(self.now().as_millis() as u64);
    }

    fn p95_ms(&self, demand: &[f64]) -> f64 {
        let of = |(unit, cluster): (usize, &usize)| {
            (self.world.rtt_ms[unit / SERVICES][*cluster], self.of_unit(demand, unit))
        };
        let mut ways: Vec<(f64, f64)> = self.cluster.iter().enumerate().map(of).collect();
        ways.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut left = 0.95 * demand.iter().sum::<f64>();
        let beyond = ways.iter().find(|(_, weight)| {
            left -= weight;
            left <= 0.0
        });
        beyond.map_or(0.0, |(ms, _)| *ms)
    }
}

fn service_name(number: usize) -> String {
    format!("s{number}.cdn.example.")
}

/// What clusters tell of blocks: of each block the fastest, as many as a director keeps.
fn told(world: &World) -> Vec<(String, Told)> {
    let of = |cluster: usize| {
        let row = |(block, ways): (usize, &Vec<f64>)| Row {
            prefix: Prefix::of(block_address(block).into()),
            rtt_us: (ways[cluster] * 1000.0).max(1.0) as u32,
            samples: 10,
            age_s: 1,
            means: Means::Connections,
        };
        let rows = world.measured_ms.iter().enumerate().map(row).collect();
        (format!("c{cluster}"), Told { heard_ms: START_MS, until_ms: u64::MAX, by: "bench".into(), rows })
    };
    (0..world.sites.len()).map(of).collect()
}
