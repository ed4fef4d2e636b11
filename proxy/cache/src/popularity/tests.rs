//! What is learnt of made-up logs whose right answers are known.

use super::*;
use crate::trace::id_of;
use crate::trace::place::place_of;

const HOST: &str = "video.example";

fn request(now_ms: u64, path: &str, bytes: u64) -> Request {
    let (id, place) = (id_of(HOST, path), place_of(HOST, path));
    Request { now_ms, id, bytes, next: None, place }
}

fn segment(title: &str, rung: &str, number: u32) -> String {
    format!("/{title}/{rung}/seg-{number}.m4s")
}

/// Viewers of a title, each of one representation, who leave after so many segments.
fn watch(learnt: &mut Popularity, title: &str, rung: &str, viewers: usize, segments: u32) {
    for _ in 0..viewers {
        (1..=segments).for_each(|number| learnt.saw(&request(0, &segment(title, rung, number), 1000)));
    }
}

fn estimate(learnt: Popularity) -> Estimate {
    let json = serde_json::to_vec(&learnt.figures()).unwrap();
    Estimate::new(Figures::from_json(&json).unwrap())
}

fn requests(estimate: &Estimate, title: &str, rung: &str) -> f64 {
    estimate.watched(HOST, &segment(title, rung, 1)).unwrap().requests
}

#[test]
fn what_is_watched_more_is_worth_more_and_its_beginning_more_than_its_end() {
    let mut learnt = Popularity::default();
    watch(&mut learnt, "hit", "720p", 90, 10);
    watch(&mut learnt, "hit", "720p", 10, 40);
    watch(&mut learnt, "rare", "720p", 4, 10);
    let estimate = estimate(learnt);
    let (hit, rare) = (requests(&estimate, "hit", "720p"), requests(&estimate, "rare", "720p"));
    assert!((hit - 1300.0).abs() < 20.0 && (rare - 40.0).abs() < 1.0, "{hit} {rare}");
    let of_hit = estimate.watched(HOST, "/hit/720p/init.mp4").unwrap();
    let hits: Vec<f64> = (0..40).map(|at| estimate.hits(&of_hit, at, 40)).collect();
    assert!(hits.windows(2).all(|pair| pair[0] >= pair[1]) && hits[5] > 9.0 * hits[30], "{hits:?}");
    assert!((hits.iter().sum::<f64>() - of_hit.requests).abs() < 1e-6);
    assert_eq!(of_hit.bytes, Some(1000));
}

#[test]
fn a_title_is_seen_in_its_own_representations_and_one_of_which_little_is_known_in_everybodys() {
    let mut learnt = Popularity::default();
    watch(&mut learnt, "a", "1080p", 50, 10);
    watch(&mut learnt, "b", "360p", 150, 10);
    let estimate = estimate(learnt);
    let share = |title| {
        let [high, low] = ["1080p", "360p"].map(|rung| requests(&estimate, title, rung));
        high / (high + low)
    };
    assert!(share("a") > 0.95 && share("b") < 0.05, "{} {}", share("a"), share("b"));
    assert!((share("unknown") - 0.25).abs() < 0.01, "{}", share("unknown"));
    assert!(requests(&estimate, "unknown", "360p") < 1.0);
}

#[test]
fn yesterday_counts_more_than_the_day_before() {
    let mut learnt = Popularity::default();
    for number in 1..=100 {
        learnt.saw(&request(0, &segment("old", "720p", number), 1));
    }
    for number in 1..=50 {
        learnt.saw(&request(2 * MEMORY_MS as u64, &segment("new", "720p", number), 1));
    }
    let estimate = estimate(learnt);
    assert!(requests(&estimate, "new", "720p") > 3.0 * requests(&estimate, "old", "720p"));
}

#[test]
fn titles_whose_segments_are_named_by_time_are_ranked_too_and_their_segments_are_alike() {
    let mut learnt = Popularity::default();
    for (title, viewers) in [("a", 9), ("b", 3)] {
        for time in (0..viewers * 20).map(|segment| segment % 20 * 90_000) {
            learnt.saw(&request(0, &format!("/{title}/720p/seg-{time}.m4s"), 500));
        }
    }
    let estimate = estimate(learnt);
    let [a, b] = ["a", "b"].map(|title| estimate.watched(HOST, &format!("/{title}/720p/seg-0.m4s")).unwrap());
    assert!(a.requests > 2.0 * b.requests, "{a:?} {b:?}");
    assert!((estimate.hits(&a, 0, 20) - estimate.hits(&a, 19, 20)).abs() < 1e-9);
}

#[test]
fn objects_of_no_title_and_logs_without_hosts_are_known_again() {
    let mut learnt = Popularity::default();
    for _ in 0..7 {
        learnt.saw(&request(0, "/poster.jpg", 300));
    }
    let path = segment("a", "720p", 1);
    let (id, place) = (id_of("", &path), place_of("", &path));
    (0..40).for_each(|_| learnt.saw(&Request { now_ms: 0, id, bytes: 9, next: None, place }));
    let estimate = estimate(learnt);
    assert_eq!(estimate.object(HOST, "/poster.jpg"), Watched { requests: 7.0, bytes: Some(300) });
    assert_eq!(estimate.object(HOST, "/other.jpg"), Watched::default());
    assert!(requests(&estimate, "a", "720p") > 30.0);
}

#[test]
fn what_is_told_apart_is_bounded_and_what_is_asked_for_most_stays() {
    let mut learnt = Popularity::new(8, 8);
    for round in 0..1000 {
        watch(&mut learnt, "hit", "720p", 1, 3);
        learnt.saw(&request(0, "/hit.jpg", 1));
        watch(&mut learnt, &format!("once-{round}"), "720p", 1, 1);
        learnt.saw(&request(0, &format!("/once-{round}.jpg"), 1));
    }
    let figures = learnt.figures();
    assert_eq!((figures.titles.len(), figures.objects.len(), figures.forgotten), (8, 8, 2 * (1001 - 8)));
    let estimate = Estimate::new(figures);
    assert!(requests(&estimate, "hit", "720p") > 2900.0 && estimate.object(HOST, "/hit.jpg").requests > 990.0);
}

#[test]
fn figures_that_were_not_learnt_are_refused_with_what_is_wrong() {
    let wrong = |change: fn(&mut Figures)| {
        let mut learnt = Popularity::default();
        watch(&mut learnt, "a", "720p", 3, 3);
        let mut figures = learnt.figures();
        change(&mut figures);
        Figures::from_json(&serde_json::to_vec(&figures).unwrap()).unwrap_err()
    };
    assert!(wrong(|figures| figures.reach = vec![0.5; 5000]).contains("segments"));
    assert!(wrong(|figures| figures.reach[0] = -1.0).contains("from 0 to 1"));
    assert!(wrong(|figures| figures.titles[0].1[0].1 = -1.0).contains("1e30"));
    assert!(wrong(|figures| figures.titles[0].1 = vec![(0, 0.0, 0.0); 17]).contains("representations"));
    assert!(wrong(|figures| figures.objects = vec![(0, 0.0, 0.0); OBJECTS_MAX + 1]).contains("objects"));
    assert!(Figures::from_json(b"{}").unwrap_err().contains("popularity: missing field"));
    assert!(Figures::from_json(&vec![b' '; FIGURES_BYTES_MAX + 1]).unwrap_err().contains("more than"));
}
