//! A generated world: who asks from where for how much, which clusters there are, and how long the ways between them are.
//!
//! Places come in metropolitan areas, demand by the law of Zipf and Mandelbrot, and the way of a network to a cluster is longer or shorter than its distance, so
//! that geography is not round-trip time. All of it follows from a seed. Nothing here decides.

/// Services; a block asks for each of them, so that what it demands can be split.
pub const SERVICES: usize = 8;
/// What flattens the top of the law (Mandelbrot's term): no block has more than some thousandths of all demand.
const FLAT: f64 = 20.0;
const METROS: usize = 60;
/// Networks of a metropolitan area, each with ways of its own.
const NETWORKS: usize = 4;
const EARTH_KM: f64 = 6371.0;
/// Of all demand what the region of a flash crowd has before it begins, and by what that is multiplied.
const FLASH_SHARE: f64 = 0.025;
const FLASH_TIMES: f64 = 5.0;

/// Deterministic numbers (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    /// Between 0 and 1, neither of them.
    pub fn even(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Normal, mean 0, deviation 1.
    pub fn normal(&mut self) -> f64 {
        let (radius, turn) = ((-2.0 * self.even().ln()).sqrt(), std::f64::consts::TAU * self.even());
        radius * turn.cos()
    }

    /// One of so many.
    pub fn one_of(&mut self, many: usize) -> usize {
        (self.bits() % many as u64) as usize
    }
}

/// How large a world is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Blocks of clients.
    pub blocks: usize,
    /// Clusters, at most 64.
    pub clusters: usize,
    /// Exponent of the demand's law.
    pub zipf: f64,
    /// What all clusters can do, as a multiple of all demand.
    pub capacity: f64,
}

/// The world.
#[derive(Debug, Clone)]
pub struct World {
    /// Degrees of latitude and longitude of the blocks.
    pub places: Vec<[f64; 2]>,
    /// And of the clusters.
    pub sites: Vec<[f64; 2]>,
    /// What each block demands; 1 altogether.
    pub demand: Vec<f64>,
    /// What of that it demands of each service.
    pub split: Vec<[f64; SERVICES]>,
    /// What each cluster can do.
    pub capacity: Vec<f64>,
    /// Milliseconds from each block to each cluster, and as measured.
    pub rtt_ms: Vec<Vec<f64>>,
    /// See `rtt_ms`.
    pub measured_ms: Vec<Vec<f64>>,
    /// The blocks of the flash crowd.
    pub region: Vec<usize>,
}

/// Kilometres as the crow flies.
pub fn distance_km(one: [f64; 2], other: [f64; 2]) -> f64 {
    let ([a, b], [c, d]) = (one.map(f64::to_radians), other.map(f64::to_radians));
    let cosine = a.sin() * c.sin() + a.cos() * c.cos() * (b - d).cos();
    EARTH_KM * cosine.clamp(-1.0, 1.0).acos()
}

impl World {
    /// The world of a seed.
    pub fn new(seed: u64, size: Size) -> Self {
        let mut dice = Dice(seed);
        let metros: Vec<[f64; 2]> = (0..METROS)
            .map(|_| [(30.0 + 18.0 * dice.normal()).clamp(-50.0, 62.0), 360.0 * dice.even() - 180.0])
            .collect();
        let near = |dice: &mut Dice, metro: usize, degrees: f64| {
            metros[metro].map(|at| (at + degrees * dice.normal()).clamp(-180.0, 180.0))
        };
        let of_metro: Vec<usize> = (0..size.blocks).map(|_| metro_by_size(&mut dice)).collect();
        let places: Vec<[f64; 2]> = of_metro.iter().map(|metro| near(&mut dice, *metro, 1.0)).collect();
        let demand = demand(&mut dice, size);
        // Two of three clusters are in the largest areas, the others anywhere.
        let in_large = size.clusters * 2 / 3;
        let sites: Vec<[f64; 2]> = (0..size.clusters)
            .map(|at| {
                let metro = if at < in_large { at % METROS } else { dice.one_of(METROS) };
                near(&mut dice, metro, 0.3)
            })
            .collect();
        let capacity = capacity(&mut dice, size, &places, &sites, &demand);
        let longer: Vec<f64> = (0..METROS * NETWORKS * size.clusters).map(|_| (0.2 * dice.normal()).exp()).collect();
        let (mut rtt_ms, mut measured_ms) = (Vec::new(), Vec::new());
        for (place, metro) in places.iter().zip(&of_metro) {
            let network = metro * NETWORKS + dice.one_of(NETWORKS);
            let last_mile = 4.0 * (0.7 * dice.normal()).exp();
            let ways: Vec<f64> = (0..size.clusters)
                .map(|at| {
                    let distance = 0.015 * distance_km(*place, sites[at]) * longer[network * size.clusters + at];
                    1.0 + last_mile + distance + (0.3 * dice.normal()).exp()
                })
                .collect();
            measured_ms.push(ways.iter().map(|way| way * (1.0 + 0.03 * dice.normal()).max(0.8)).collect());
            rtt_ms.push(ways);
        }
        let split = (0..size.blocks).map(|_| split(&mut dice)).collect();
        let region = region(&places, &demand, places[dice.one_of(size.blocks)]);
        Self { places, sites, demand, split, capacity, rtt_ms, measured_ms, region }
    }

    /// What each block demands while a crowd has come.
    pub fn crowded(&self) -> Vec<f64> {
        let mut demand = self.demand.clone();
        self.region.iter().for_each(|block| demand[*block] *= FLASH_TIMES);
        demand
    }
}

/// The larger ones have more; the law is flatter than that of blocks at its top.
fn metro_by_size(dice: &mut Dice) -> usize {
    let size = |metro: usize| 1.0 / (metro as f64 + 3.0);
    let mut left = dice.even() * (0..METROS).map(size).sum::<f64>();
    for metro in 0..METROS {
        left -= size(metro);
        if left <= 0.0 {
            return metro;
        }
    }
    METROS - 1
}

fn demand(dice: &mut Dice, size: Size) -> Vec<f64> {
    let mut demand: Vec<f64> = (1..=size.blocks).map(|rank| (rank as f64 + FLAT).powf(-size.zipf)).collect();
    for at in (1..demand.len()).rev() {
        demand.swap(at, dice.one_of(at + 1));
    }
    let sum: f64 = demand.iter().sum();
    demand.iter().map(|one| one / sum).collect()
}

/// Operators build where demand is, and never as much as it turns out to be: it goes by the root of what is nearest.
fn capacity(dice: &mut Dice, size: Size, places: &[[f64; 2]], sites: &[[f64; 2]], demand: &[f64]) -> Vec<f64> {
    let mut nearest = vec![0.3 / size.clusters as f64; size.clusters];
    for (place, demand) in places.iter().zip(demand) {
        let far = |at: &usize| distance_km(*place, sites[*at]);
        if let Some(at) = (0..size.clusters).min_by(|one, other| far(one).total_cmp(&far(other))) {
            nearest[at] += demand;
        }
    }
    let capacity: Vec<f64> = nearest.iter().map(|near| near.sqrt() * (0.5 * dice.normal()).exp()).collect();
    let sum: f64 = capacity.iter().sum();
    capacity.iter().map(|one| one * size.capacity / sum).collect()
}

fn split(dice: &mut Dice) -> [f64; SERVICES] {
    let parts = [0; SERVICES].map(|_| 0.1 + dice.even());
    parts.map(|part| part / parts.iter().sum::<f64>())
}

/// The blocks nearest to a place that together demand [`FLASH_SHARE`].
fn region(places: &[[f64; 2]], demand: &[f64], middle: [f64; 2]) -> Vec<usize> {
    let mut all: Vec<usize> = (0..places.len()).collect();
    all.sort_by(|one, other| distance_km(places[*one], middle).total_cmp(&distance_km(places[*other], middle)));
    let mut sum = 0.0;
    all.retain(|block| {
        let takes = sum + demand[*block] <= FLASH_SHARE;
        sum += if takes { demand[*block] } else { 0.0 };
        takes
    });
    all
}
