//! The rate policies that are made of published rules, and ours: each decides as a guest what its rule decides natively.

use std::sync::Arc;

use littoral_plugin_host::{Ask, Interface, Plugin, PluginSpec};
use littoral_rate::Ladder;
use littoral_rate::bola::{Form, Rise};
use littoral_rate::edge::{self, Answered, Asked, BUFFER_S, Edge, LOOKS};

use super::{guest, host, spec};

/// What a ladder may have, and more than is usual.
const RUNGS: [usize; 4] = [3, 6, 10, 64];
const SESSIONS: u64 = 6;
const SEGMENTS: u32 = 40;

fn seated(name: &str, config: &str) -> Arc<Plugin> {
    let spec = PluginSpec { config: config.to_owned(), ..spec(name, guest(name)) };
    host().load(spec, Some(Interface::Rate)).unwrap()
}

/// Asks both the same throughout sessions in which throughput and buffer jump.
fn same(name: &str, config: &str, buffer_s: f64, rule: &dyn Edge) {
    let plugin = seated(name, config);
    let mut random = 1_u64;
    let mut draw = |below: u32| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((random >> 33) % u64::from(below)) as u32
    };
    let mut chosen = std::collections::BTreeSet::new();
    for (id, rungs) in RUNGS.into_iter().enumerate() {
        let rungs: Vec<u32> =
            (0..rungs as i32).map(|rung| (150.0 * 1.09_f64.powi(rung * 60 / rungs as i32)) as u32).collect();
        plugin.push_ladder(id as u32, rungs.clone());
        let ladder = Ladder::new(rungs.iter().map(|kbps| f64::from(*kbps)));
        for _ in 0..SESSIONS {
            let (mut asked, link) =
                (Asked { segment_ms: 1000 * (1 + draw(6)), ..Asked::default() }, 100 + draw(40_000));
            for segment in 0..SEGMENTS {
                asked.kbps = if segment == 0 { 0 } else { link / 2 + draw(link) };
                asked.buffer_ms = draw(buffer_s as u32 * 1000);
                let Asked { state, kbps: est_kbps, buffer_ms, last, segment_ms } = asked;
                let last_rung = last.unwrap_or(255);
                let ask =
                    Ask { state, est_kbps, buffer_ms, last_rung, segment_ms, ladder: id as u32, now_ms: 1, rand: 1 };
                let answer =
                    plugin.select(&ask, rungs.len()).unwrap_or_else(|fault| panic!("{name} {config}: {fault:?}"));
                let Answered { choice, state } = rule.select(&ladder, &asked, buffer_s * 1000.0);
                let native = (choice.rung, choice.wait_ms as u16, state);
                assert_eq!(
                    (usize::from(answer.rung), answer.hold_ms, answer.state),
                    native,
                    "{name} {config}: {asked:?}"
                );
                (asked.state, asked.last) = (state, Some(answer.rung));
                chosen.insert(answer.rung);
            }
        }
    }
    assert!(chosen.len() > 8, "{name} {config}: {chosen:?}");
}

#[test]
fn a_rate_guest_decides_as_its_rule_does_natively_and_within_its_fuel() {
    let (wait, above) = (Rise::Sustained, Rise::OneAbove);
    same("rate-bba", "{}", BUFFER_S, &edge::Bba);
    same("rate-bba", r#"{"buffer": 60}"#, 60.0, &edge::Bba);
    same("rate-bola", "{}", BUFFER_S, &edge::BolaE { rise: wait });
    same("rate-bola", r#"{"rise": "above", "buffer": 40}"#, 40.0, &edge::BolaE { rise: above });
    same("rate-bola", r#"{"form": "basic"}"#, BUFFER_S, &edge::Bola { form: Form::Basic, rise: wait });
    let finite = edge::Bola { form: Form::Finite, rise: above };
    same("rate-bola", r#"{"form": "finite", "rise": "above"}"#, BUFFER_S, &finite);
    same("rate-mpc", "{}", BUFFER_S, &edge::Mpc { looks: LOOKS });
    same("rate-mpc", r#"{"looks": 50, "buffer": 10}"#, 10.0, &edge::Mpc { looks: 50 });
    same("rate-dynamic", "{}", BUFFER_S, &edge::Dynamic);
    same("rate-dynamic", r#"{"form": "dash"}"#, BUFFER_S, &edge::DynamicDash);
    same("rate-littoral", "{}", BUFFER_S, &edge::Littoral);
    same("rate-littoral", r#"{"buffer": 10}"#, 10.0, &edge::Littoral);
}
