//! Whose turn it is: by weight, load, key and health.

use super::*;
use crate::config::origin::Origin as Raw;
use crate::origin::health::EJECTION_MIN;
use crate::origin::{Slot, Slots};

fn origin(port: u16, weight: u32) -> Origin {
    Origin::of(&Raw { weight, ..Raw::of_url(&format!("http://127.0.0.1:{port}")) }).unwrap()
}

fn origins(balance: Balance, all: Vec<Origin>) -> Origins {
    Origins::new(all.into_iter().map(Arc::new).collect(), balance, Duration::ZERO, &Retry::default())
}

fn ports(origins: &Origins, times: u64, now_ms: u64) -> Vec<u16> {
    (0..times).map(|key| origins.pick(&Wish { now_ms, key: mix(key), tried: &[] }).unwrap().port).collect()
}

fn times(ports: &[u16], port: u16) -> usize {
    ports.iter().filter(|asked| **asked == port).count()
}

fn eject(origins: &Origins, place: usize) {
    for _ in 0..crate::origin::health::FAILURES_MAX {
        origins.failed(&origins.all()[place], 0);
    }
}

#[test]
fn turns_are_smooth_and_by_weight() {
    let three = origins(Balance::RoundRobin, vec![origin(1, 5), origin(2, 1), origin(3, 1)]);
    assert_eq!(ports(&three, 7, 0), [1, 1, 2, 1, 3, 1, 1], "the example in nginx's source");
    let even = origins(Balance::RoundRobin, vec![origin(1, 1), origin(2, 1)]);
    assert_eq!(ports(&even, 4, 0), [1, 2, 1, 2]);
}

#[tokio::test]
async fn the_fewest_under_way_for_the_weight_are_next() {
    let two = origins(Balance::LeastConnections, vec![origin(1, 3), origin(2, 1)]);
    let mut slots = Vec::new();
    for _ in 0..40 {
        let next = two.pick(&Wish { now_ms: 0, key: 0, tried: &[] }).unwrap();
        slots.push(Slot::at(next).await.unwrap());
    }
    assert_eq!([two.all()[0].under_way(), two.all()[1].under_way()], [30, 10]);
    slots.clear();
    assert_eq!(two.all()[0].under_way(), 0);
}

#[test]
fn a_key_stays_with_its_origin_by_weight_and_moves_only_when_that_is_out() {
    let of = |ports: &[(u16, u32)]| {
        origins(Balance::Hash, ports.iter().map(|(port, weight)| origin(*port, *weight)).collect())
    };
    let four = of(&[(1, 1), (2, 1), (3, 1), (4, 3)]);
    let before = ports(&four, 6000, 0);
    assert_eq!(before, ports(&of(&[(4, 3), (2, 1), (1, 1), (3, 1)]), 6000, 0), "whatever the order");
    for (port, share) in [(1, 1000), (4, 3000)] {
        assert!(times(&before, port).abs_diff(share) < 150, "{port}: {}", times(&before, port));
    }
    let after = ports(&of(&[(1, 1), (2, 1), (4, 3)]), 6000, 0);
    assert!(before.iter().zip(&after).all(|(old, new)| old == new || *old == 3));
}

#[tokio::test]
async fn who_has_more_than_its_share_under_way_is_passed_over() {
    let three = origins(Balance::Hash, vec![origin(1, 1), origin(2, 1), origin(3, 1)]);
    let mut slots = Vec::new();
    for _ in 0..300 {
        // All for one object.
        slots.push(Slot::at(three.pick(&Wish { now_ms: 0, key: 7, tried: &[] }).unwrap()).await.unwrap());
    }
    let most = three.all().iter().map(|origin| origin.under_way()).max().unwrap();
    assert!((100..=126).contains(&most), "{most}");
}

#[test]
fn a_retry_goes_to_another_origin_even_to_an_ejected_one() {
    let two = origins(Balance::RoundRobin, vec![origin(1, 1), origin(2, 1)]);
    let first = [two.all()[0].clone()];
    let again = |now_ms| two.pick(&Wish { now_ms, key: 0, tried: &first }).unwrap().port;
    assert_eq!([again(0), again(0)], [2, 2]);
    eject(&two, 1);
    assert_eq!((again(1), ports(&two, 2, 1)), (2, vec![1, 1]));
    let both = two.all().to_vec();
    assert!(two.pick(&Wish { now_ms: 1, key: 0, tried: &both }).is_some(), "nobody else can be asked");
}

#[test]
fn half_of_the_origins_may_be_left_out_and_one_always() {
    for (count, most) in [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2)] {
        let some = origins(Balance::RoundRobin, (1..=count).map(|port| origin(port, 1)).collect());
        for _ in 0..5 {
            for origin in some.all() {
                some.failed(origin, 0);
            }
        }
        let out = some.all().iter().filter(|origin| !origin.live.health.is_in(1)).count();
        assert_eq!(out, most, "of {count}");
    }
}

#[test]
fn one_request_tries_an_origin_whose_time_is_over_and_the_others_pass_it_over() {
    let two = origins(Balance::RoundRobin, vec![origin(1, 1), origin(2, 1)]);
    eject(&two, 0);
    let back = EJECTION_MIN.as_millis() as u64;
    assert_eq!(times(&ports(&two, 9, back), 1), 1);
    two.all()[0].live.health.succeeded(back);
    assert!(times(&ports(&two, 9, back), 1) >= 4);
}

#[test]
fn one_that_came_back_is_asked_less_at_first() {
    let all = [1, 2].map(|port| Arc::new(origin(port, 1))).into();
    let two = Origins::new(all, Balance::RoundRobin, Duration::from_secs(10), &Retry::default());
    let first = &two.all()[0].live.health;
    eject(&two, 0);
    first.begin(10_000);
    first.succeeded(10_000);
    let share = |now_ms| times(&ports(&two, 220, now_ms), 1);
    assert_eq!([share(10_000), share(20_000)], [20, 110], "a tenth of its weight, then all of it");
}

#[test]
fn a_backup_is_asked_when_the_others_are_out_or_busy() {
    let with = |places: usize| {
        let first = Origin { slots: Some(Slots::new(places, 9, Duration::ZERO)), ..origin(1, 1) };
        origins(Balance::RoundRobin, vec![first, Origin { backup: true, ..origin(2, 1) }])
    };
    let two = with(1);
    assert_eq!(ports(&two, 2, 0), [1, 1]);
    eject(&two, 0);
    assert_eq!(ports(&two, 2, 1), [2, 2]);
    assert_eq!(ports(&with(0), 2, 0), [2, 2]);
}

#[test]
fn an_origin_without_an_address_is_passed_over() {
    let unknown = || Origin::of(&Raw::of_url("http://not-looked-up.example")).unwrap();
    let two = origins(Balance::RoundRobin, vec![unknown(), origin(2, 1)]);
    assert_eq!(ports(&two, 3, 0), [2, 2, 2]);
    let none = origins(Balance::Hash, vec![unknown()]);
    assert!(none.pick(&Wish { now_ms: 0, key: 0, tried: &[] }).is_none());
}
