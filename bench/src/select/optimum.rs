//! The best there is: least mean round-trip time with no cluster beyond a share of what it can do, as a linear program.
//!
//! Blocks may be split at will and everything is known, so that nobody can do better. Solved by an interior point method.

use anyhow::{Result, ensure};
use clarabel::algebra::CscMatrix;
use clarabel::solver::{
    DefaultSettings, DefaultSolver, IPSolver, NonnegativeConeT, SolverStatus, SupportedConeT, ZeroConeT,
};

/// Least mean milliseconds; `capacity` of a cluster that is gone is 0.
///
/// # Errors
/// When there is no solution: clusters cannot do what is demanded.
pub fn mean_ms(rtt_ms: &[Vec<f64>], demand: &[f64], capacity: &[f64], share: f64) -> Result<f64> {
    let (blocks, clusters) = (demand.len(), capacity.len());
    let (ways, all): (usize, f64) = (blocks * clusters, demand.iter().sum());
    // A column for each way: 1 in the row of its block, its demand in that of its cluster, and not below 0. Demand is scaled to a mean of 1.
    let scaled: Vec<f64> = demand.iter().map(|one| one / all * blocks as f64).collect();
    let (mut begins, mut rows, mut values) = (vec![0], Vec::new(), Vec::new());
    for (block, weight) in scaled.iter().enumerate() {
        for cluster in 0..clusters {
            rows.extend([block, blocks + cluster, blocks + clusters + block * clusters + cluster]);
            values.extend([1.0, *weight, -1.0]);
            begins.push(rows.len());
        }
    }
    let bounds = CscMatrix::new(blocks + clusters + ways, ways, begins, rows, values);
    let mut right = vec![1.0; blocks];
    right.extend(capacity.iter().map(|one| one * share / all * blocks as f64));
    right.resize(blocks + clusters + ways, 0.0);
    let scale = blocks as f64;
    let cost: Vec<f64> =
        rtt_ms.iter().zip(&scaled).flat_map(|(row, weight)| row.iter().map(move |ms| ms * weight / scale)).collect();
    let cones: [SupportedConeT<f64>; 2] = [ZeroConeT(blocks), NonnegativeConeT(clusters + ways)];
    let settings = DefaultSettings { verbose: false, ..DefaultSettings::default() };
    let mut solver = DefaultSolver::new(&CscMatrix::zeros((ways, ways)), &cost, &bounds, &right, &cones, settings)?;
    solver.solve();
    let status = solver.solution.status;
    ensure!(
        matches!(status, SolverStatus::Solved | SolverStatus::AlmostSolved),
        "the linear program has no solution ({status:?}): clusters cannot do what is demanded"
    );
    Ok(solver.solution.obj_val)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_loses_least_goes_where_there_is_room() {
        // The near cluster has room for one and a half of the two blocks; the second loses less by going.
        let (rtt_ms, demand) = (vec![vec![10.0, 50.0], vec![10.0, 20.0]], [1.0, 1.0]);
        let near = |value: f64, expected: f64| assert!((value - expected).abs() < 1e-3, "{value} {expected}");
        near(mean_ms(&rtt_ms, &demand, &[1.5, 9.0], 1.0).unwrap(), 12.5);
        near(mean_ms(&rtt_ms, &demand, &[3.0, 9.0], 0.5).unwrap(), 12.5);
        near(mean_ms(&rtt_ms, &demand, &[0.0, 9.0], 1.0).unwrap(), 35.0);
        assert!(mean_ms(&rtt_ms, &demand, &[0.5, 1.0], 1.0).is_err());
    }
}
