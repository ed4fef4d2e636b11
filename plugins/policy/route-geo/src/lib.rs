//! Which cluster: the one whose coverage zone the client is in, else the nearest, where load makes a cluster look farther
//! away.
//!
//! The cost of a cluster is `(1.001 - cos) * (1 + load²)`, with `cos` the cosine of the angle between the places of client
//! and cluster and load from 0 to 1; with an unknown place it is the load alone. No trigonometry: places come as vectors.

#[cfg(target_arch = "wasm32")]
mod guest;

/// "No cluster".
pub const NONE: u16 = u16::MAX;
/// Clusters there may be.
pub const CLUSTERS_MAX: usize = 64;

/// What is known of a cluster, ready for the hot path.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Row {
    /// Its place as a unit vector.
    pub place: [f32; 3],
    /// `1 + load²`.
    pub weight: f32,
    /// From 0 to 1.
    pub load: f32,
    /// Whether it answers its probes.
    pub healthy: bool,
}

/// The three cheapest of `candidates` (one bit per row), cheapest first.
pub fn choose(rows: &[Row; CLUSTERS_MAX], place: [f32; 3], zone: u16, candidates: u64) -> [u16; 3] {
    let placed = place != [0.0; 3];
    let mut best = [(f32::INFINITY, NONE); 3];
    let mut left = candidates;
    while left != 0 {
        let index = left.trailing_zeros() as u16;
        left &= left - 1;
        let row = &rows[usize::from(index)];
        let cosine = row.place[0] * place[0] + row.place[1] * place[1] + row.place[2] * place[2];
        let cost = match placed {
            _ if index == zone && row.healthy => -1.0,
            true => (1.001 - cosine) * row.weight,
            false => row.load,
        };
        if cost < best[2].0 {
            best[2] = (cost, index);
            if best[2].0 < best[1].0 {
                best.swap(1, 2);
            }
            if best[1].0 < best[0].0 {
                best.swap(0, 1);
            }
        }
    }
    best.map(|(_, index)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(loads: [f32; 3]) -> [Row; CLUSTERS_MAX] {
        let places = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let mut rows = [Row::default(); CLUSTERS_MAX];
        for (row, (place, load)) in rows.iter_mut().zip(places.into_iter().zip(loads)) {
            *row = Row { place, weight: 1.0 + load * load, load, healthy: true };
        }
        rows
    }

    #[test]
    fn the_nearest_comes_first_unless_the_zone_says_otherwise() {
        let near_first = [0.9, 0.4, 0.1];
        assert_eq!(choose(&rows([0.0; 3]), near_first, NONE, 0b111), [0, 1, 2]);
        assert_eq!(choose(&rows([0.0; 3]), near_first, 2, 0b111), [2, 0, 1]);
        assert_eq!(choose(&rows([0.0; 3]), near_first, NONE, 0b100), [2, NONE, NONE]);
        assert_eq!(choose(&rows([0.0; 3]), near_first, NONE, 0), [NONE; 3]);
    }

    #[test]
    fn load_pushes_a_cluster_away() {
        let between = [0.71, 0.70, 0.0];
        assert_eq!(choose(&rows([0.0; 3]), between, NONE, 0b11)[0], 0);
        assert_eq!(choose(&rows([1.0, 0.0, 0.0]), between, NONE, 0b11)[0], 1);
        assert_eq!(choose(&rows([0.5, 0.1, 0.9]), [0.0; 3], NONE, 0b111), [1, 0, 2]);
    }
}
