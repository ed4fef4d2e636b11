//! [`export_policy!`](crate::export_policy): a policy's trait, bound to its world.

/// Exports a policy: its type, its world (`routing`, `rate`, `cache` or `exact`), and the directory of the contract, seen from the crate. With `terms`
/// behind it a routing policy also tells what its choices are made of ([`Explained`](crate::policy::Explained)). Natively it is nothing.
#[macro_export]
macro_rules! export_policy {
    ($policy:ty, routing, $wit:literal) => {
        $crate::export_policy!(@ $policy, $wit, "routing-policy", {});
    };
    ($policy:ty, routing, $wit:literal, terms) => {
        $crate::export_policy!(@ $policy, $wit, "explained-routing-policy", { $crate::__terms!(); });
    };
    (@ $policy:ty, $wit:literal, $world:literal, { $($more:tt)* }) => {
        #[cfg(target_arch = "wasm32")]
        mod exported {
            $crate::wit_bindgen::generate!({
                path: $wit, world: $world, runtime_path: "littoral_plugin::wit_bindgen::rt",
            });
            $crate::__seated!($policy, $crate::policy::Routing);

            impl control::Guest for Exported {
                fn init(config: String) -> Result<(), String> {
                    seat(&config)
                }
                fn clusters(_version: u64, all: Vec<control::Cluster>) {
                    let row = |row: control::Cluster| $crate::policy::Cluster {
                        index: row.index,
                        deep: row.deep,
                        healthy: row.healthy,
                        place: [row.x, row.y, row.z],
                        capacity_mbps: row.cap_mbps,
                        load_permille: row.load_permille,
                        rtt_us: row.rtt_us,
                    };
                    let is_one = |row: &control::Cluster| usize::from(row.index) < $crate::policy::CLUSTERS_MAX;
                    let all: Vec<_> = all.into_iter().filter(is_one).map(row).collect();
                    POLICY.with_borrow_mut(|policy| Of::clusters(seated_mut(policy), &all));
                }
                fn ladder(_id: u32, _kbps: Vec<u32>) {}
            }

            impl exports::littoral::plugin::routing::Guest for Exported {
                fn decide(
                    flow: exports::littoral::plugin::routing::Flow,
                ) -> exports::littoral::plugin::routing::Choice {
                    let choice = POLICY.with_borrow(|policy| Of::decide(seated(policy), &asked(&flow)));
                    let [first, second, third] = choice.clusters;
                    exports::littoral::plugin::routing::Choice { first, second, third, ttl_s: choice.ttl_s }
                }
            }

            #[inline(always)]
            fn asked(flow: &exports::littoral::plugin::routing::Flow) -> $crate::policy::Flow {
                $crate::policy::Flow {
                    key: flow.key,
                    address: u128::from(flow.addr_hi) << 64 | u128::from(flow.addr_lo),
                    place: [flow.x, flow.y, flow.z],
                    zone: flow.zone,
                    candidates: flow.candidates,
                    now_ms: flow.now_ms,
                    rand: flow.rand,
                }
            }

            $($more)*

            export!(Exported);
        }
    };
    ($policy:ty, rate, $wit:literal) => {
        #[cfg(target_arch = "wasm32")]
        mod exported {
            $crate::wit_bindgen::generate!({
                path: $wit, world: "rate-policy", runtime_path: "littoral_plugin::wit_bindgen::rt",
            });
            $crate::__seated!($policy, $crate::policy::Rate);

            thread_local!(static LADDERS: std::cell::RefCell<$crate::policy::Ladders> =
                const { std::cell::RefCell::new($crate::policy::Ladders::new()) });

            impl control::Guest for Exported {
                fn init(config: String) -> Result<(), String> {
                    seat(&config)
                }
                fn clusters(_version: u64, _all: Vec<control::Cluster>) {}
                fn ladder(id: u32, kbps: Vec<u32>) {
                    LADDERS.with_borrow_mut(|ladders| ladders.tell(id, kbps));
                }
            }

            impl exports::littoral::plugin::rate::Guest for Exported {
                fn select(ask: exports::littoral::plugin::rate::Ask) -> exports::littoral::plugin::rate::Answer {
                    let asked = $crate::policy::Ask {
                        state: ask.state,
                        est_kbps: ask.est_kbps,
                        buffer_ms: ask.buffer_ms,
                        last_rung: ask.last_rung,
                        segment_ms: ask.segment_ms,
                        now_ms: ask.now_ms,
                        rand: ask.rand,
                    };
                    let answer = LADDERS.with_borrow(|ladders| {
                        POLICY.with_borrow(|policy| Of::select(seated(policy), &asked, ladders.of(ask.ladder)))
                    });
                    let $crate::policy::Answer { rung, pace_kbps, hold_ms, state } = answer;
                    exports::littoral::plugin::rate::Answer { rung, pace_kbps, hold_ms, state }
                }
            }

            export!(Exported);
        }
    };
    ($policy:ty, cache, $wit:literal) => {
        #[cfg(target_arch = "wasm32")]
        mod exported {
            $crate::wit_bindgen::generate!({
                path: $wit, world: "cache-policy", runtime_path: "littoral_plugin::wit_bindgen::rt",
            });
            $crate::__seated!($policy, $crate::policy::Cache);
            $crate::__scored!();

            export!(Exported);
        }
    };
    ($policy:ty, exact, $wit:literal) => {
        #[cfg(target_arch = "wasm32")]
        mod exported {
            $crate::wit_bindgen::generate!({
                path: $wit, world: "cache-exact-policy", runtime_path: "littoral_plugin::wit_bindgen::rt",
            });
            $crate::__seated!($policy, $crate::policy::Cache);
            $crate::__scored!();

            use exports::littoral::plugin::cache_exact;

            impl cache_exact::Guest for Exported {
                fn start(bytes: u64) {
                    POLICY.with_borrow_mut(|policy| $crate::policy::Exact::start(seated_mut(policy), bytes));
                }
                fn step(events: Vec<cache_exact::Event>, need: u64) -> Vec<u32> {
                    let mut go = Vec::new();
                    POLICY.with_borrow_mut(|policy| {
                        let policy = seated_mut(policy);
                        let (mut need, mut now_ms, last) = (need, 0, events.len());
                        for (number, event) in events.iter().enumerate() {
                            now_ms = event.now_ms;
                            match event.what {
                                cache_exact::What::Used => $crate::policy::Exact::used(policy, event.handle, now_ms, &mut go),
                                cache_exact::What::Gone => $crate::policy::Exact::gone(policy, event.handle),
                                cache_exact::What::Arrives => {
                                    let position = event.in_title.then_some($crate::policy::Position {
                                        title: event.title,
                                        rung: event.rung,
                                        segment: event.segment,
                                    });
                                    let object = $crate::policy::Arrival {
                                        handle: event.handle,
                                        key: event.key,
                                        bytes: event.bytes,
                                        fetch_us: event.fetch_us,
                                        position,
                                    };
                                    let room = if number + 1 == last { std::mem::take(&mut need) } else { 0 };
                                    $crate::policy::Exact::arrives(policy, &object, room, now_ms, &mut go);
                                }
                            }
                        }
                        if need > 0 {
                            $crate::policy::Exact::evict(policy, need, now_ms, &mut go);
                        }
                    });
                    go
                }
            }

            export!(Exported);
        }
    };
}

/// What [`export_policy!`](crate::export_policy) exports for those who want a decision explained.
#[doc(hidden)]
#[macro_export]
macro_rules! __terms {
    () => {
        impl exports::littoral::plugin::terms::Guest for Exported {
            fn of(flow: exports::littoral::plugin::terms::Flow) -> Vec<exports::littoral::plugin::terms::Term> {
                let told = POLICY.with_borrow(|policy| $crate::policy::Explained::terms(seated(policy), &asked(&flow)));
                let term = |term: $crate::policy::Term| exports::littoral::plugin::terms::Term {
                    cluster: term.cluster,
                    name: term.name.to_owned(),
                    value: term.value,
                };
                told.into_iter().map(term).collect()
            }
        }
    };
}

/// What [`export_policy!`](crate::export_policy) exports for samples.
#[doc(hidden)]
#[macro_export]
macro_rules! __scored {
    () => {
        use exports::littoral::plugin::cache;

        fn object(object: cache::Object) -> $crate::policy::Object {
            let cache::Object { id, bytes, age_s, idle_s, ttl_s, fetch_us, hits, class } = object;
            $crate::policy::Object { id, bytes, age_s, idle_s, ttl_s, fetch_us, hits, class }
        }

        impl control::Guest for Exported {
            fn init(config: String) -> Result<(), String> {
                seat(&config)
            }
            fn clusters(_version: u64, _all: Vec<control::Cluster>) {}
            fn ladder(_id: u32, _kbps: Vec<u32>) {}
        }

        impl cache::Guest for Exported {
            fn admit(asked: cache::Object, fill_permille: u16, now_ms: u64, rand: u64) -> cache::Verdict {
                let (asked, at) = (object(asked), $crate::policy::Moment { now_ms, rand });
                match POLICY
                    .with_borrow(|policy| $crate::policy::Cache::admit(seated(policy), &asked, fill_permille, at))
                {
                    $crate::policy::Verdict::Admit => cache::Verdict::Admit,
                    $crate::policy::Verdict::Bypass => cache::Verdict::Bypass,
                }
            }
            fn score(sample: Vec<cache::Object>, now_ms: u64, rand: u64) -> Vec<f32> {
                // In place: both have the same size.
                let sample: Vec<_> = sample.into_iter().map(object).collect();
                let at = $crate::policy::Moment { now_ms, rand };
                POLICY.with_borrow(|policy| $crate::policy::Cache::scores(seated(policy), &sample, at))
            }
        }
    };
}

/// The place of a policy in its instance. Part of [`export_policy!`](crate::export_policy).
#[doc(hidden)]
#[macro_export]
macro_rules! __seated {
    ($policy:ty, $trait:path) => {
        use std::cell::RefCell;

        use exports::littoral::plugin::control;
        use $trait as Of;

        use author::__Author;

        $crate::bind_author!($policy);

        struct Exported;

        thread_local!(static POLICY: RefCell<Option<__Author>> = const { RefCell::new(None) });

        fn seat(config: &str) -> Result<(), String> {
            let policy = <__Author as Of>::new(config)?;
            POLICY.with_borrow_mut(|place| *place = Some(policy));
            Ok(())
        }

        fn seated(policy: &Option<__Author>) -> &__Author {
            policy.as_ref().expect("init is called first")
        }

        #[allow(dead_code, reason = "not every world tells its policy something")]
        fn seated_mut(policy: &mut Option<__Author>) -> &mut __Author {
            policy.as_mut().expect("init is called first")
        }
    };
}
