//! The breaker against a model: random arrivals, releases, cancellations and changes of backends.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use proptest::prelude::*;
use tokio::net::TcpStream;

use super::backend::Backend;
use super::breaker::{Breaker, Full};
use crate::config::Options;
use crate::endpoint::{Connector, Endpoint};

struct Nowhere;

impl Connector for Nowhere {
    fn connect(&self) -> BoxFuture<'static, io::Result<TcpStream>> {
        Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
    }
}

fn backend(id: &str) -> Backend {
    let endpoint = Endpoint {
        id: id.to_owned(),
        connector: Arc::new(Nowhere),
        phases: Vec::new(),
    };
    Backend::new(endpoint, &Options::default())
}

fn set(breaker: &mut Breaker<u32>, ids: &[&'static str]) {
    breaker.set_backends(ids.to_vec(), |id| id, backend);
}

fn ids(count: usize) -> &'static [&'static str] {
    &["a", "b", "c", "d"][..count]
}

#[derive(Debug, Clone)]
enum Step {
    Arrive,
    Release(usize),
    Cancel(usize),
    Backends(usize),
    Limit(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Arrive),
        4 => any::<usize>().prop_map(Step::Release),
        2 => any::<usize>().prop_map(Step::Cancel),
        1 => (0..=4usize).prop_map(Step::Backends),
        1 => (0..=6u32).prop_map(Step::Limit),
    ]
}

proptest! {
    #[test]
    fn nobody_is_overtaken_and_no_backend_gets_more_than_its_limit(
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let mut breaker = Breaker::new(1, 1000);
        let mut limit = 1;
        let mut arrivals = 0..;
        let mut queue: VecDeque<(u64, u32)> = VecDeque::new();
        let mut running: Vec<Arc<Backend>> = Vec::new();
        for step in steps {
            let mut grown = None;
            match step {
                Step::Arrive => {
                    if let Some(backend) = breaker.admit(None) {
                        prop_assert!(queue.is_empty(), "overtook the queue");
                        grown = Some(backend.clone());
                        running.push(backend);
                    } else {
                        let request = arrivals.next().unwrap();
                        if let Ok(ticket) = breaker.enqueue(request) {
                            queue.push_back((ticket, request));
                        }
                    }
                }
                Step::Release(which) if !running.is_empty() => {
                    let backend = running.swap_remove(which % running.len());
                    breaker.release(&backend);
                }
                Step::Cancel(which) if !queue.is_empty() => {
                    let (ticket, _) = queue.remove(which % queue.len()).unwrap();
                    prop_assert!(breaker.cancel(ticket));
                    prop_assert!(!breaker.cancel(ticket));
                }
                Step::Backends(count) => set(&mut breaker, ids(count)),
                Step::Limit(new) => {
                    limit = new;
                    breaker.set_limit(new);
                }
                Step::Release(_) | Step::Cancel(_) => {}
            }
            if let Some(backend) = grown {
                prop_assert!(limit == 0 || backend.in_flight() <= limit);
            }
            while let Some((request, backend)) = breaker.next() {
                prop_assert_eq!(Some(request), queue.pop_front().map(|(_, request)| request));
                prop_assert!(backend.serving());
                prop_assert!(limit == 0 || backend.in_flight() <= limit);
                running.push(backend);
            }
            prop_assert_eq!(breaker.queued(), queue.len());
            prop_assert_eq!(breaker.in_flight(), running.len());
            for id in ids(4) {
                let expected = running.iter().filter(|it| it.id() == *id).count();
                let counted = breaker.backend(id).map_or(0, |it| it.in_flight() as usize);
                prop_assert_eq!(counted, expected, "requests at {}", id);
            }
        }
    }
}

fn admitted(breaker: &mut Breaker<u32>, count: usize) -> Vec<String> {
    (0..count)
        .map_while(|_| Some(breaker.admit(None)?.id().to_owned()))
        .collect()
}

#[test]
fn a_low_limit_fills_the_first_and_a_high_one_goes_round() {
    let mut low = Breaker::new(2, 10);
    set(&mut low, ids(3));
    assert_eq!(admitted(&mut low, 9), ["a", "a", "b", "b", "c", "c"]);

    let mut high = Breaker::new(4, 10);
    set(&mut high, ids(3));
    assert_eq!(admitted(&mut high, 4), ["a", "b", "c", "a"]);
}

#[test]
fn without_a_limit_two_backends_share_evenly() {
    let mut breaker = Breaker::new(0, 10);
    set(&mut breaker, ids(2));
    let all = admitted(&mut breaker, 100);
    assert_eq!(all.iter().filter(|id| *id == "a").count(), 50);
}

#[test]
fn a_backend_just_failed_is_avoided_while_another_has_room() {
    for limit in [0, 1, 10] {
        let mut breaker: Breaker<u32> = Breaker::new(limit, 10);
        set(&mut breaker, ids(2));
        let failed = breaker.backend("a").unwrap().clone();
        assert_eq!(breaker.admit(Some(&failed)).unwrap().id(), "b");
        set(&mut breaker, ids(1));
        assert_eq!(breaker.admit(Some(&failed)).unwrap().id(), "a");
    }
}

#[test]
fn the_queue_holds_ten_times_the_limit_per_backend() {
    let mut breaker = Breaker::new(2, 10_000);
    set(&mut breaker, ids(2));
    assert_eq!(admitted(&mut breaker, 9).len(), 4);
    for request in 0..40 {
        breaker.enqueue(request).unwrap();
    }
    assert_eq!(breaker.enqueue(40), Err(Full(40)));
}

#[test]
fn a_queue_built_up_at_zero_keeps_its_bound_until_it_has_shrunk() {
    let mut breaker = Breaker::new(1, 15);
    let tickets: Vec<_> = (0..14).map(|it| breaker.enqueue(it).unwrap()).collect();
    set(&mut breaker, ids(1));
    breaker.next().unwrap();
    breaker.enqueue(14).unwrap();
    breaker.enqueue(15).unwrap();
    assert_eq!(breaker.enqueue(16), Err(Full(15)), "the activator's bound");
    for ticket in &tickets[1..8] {
        assert!(breaker.cancel(*ticket));
    }
    breaker.enqueue(17).unwrap();
    breaker.enqueue(18).unwrap();
    assert_eq!(breaker.enqueue(19), Err(Full(10)), "the breaker's bound");
}

#[test]
fn a_backend_that_returns_while_draining_still_counts_its_requests() {
    let mut breaker = Breaker::new(1, 10);
    set(&mut breaker, ids(1));
    let held = breaker.admit(None).unwrap();
    set(&mut breaker, &[]);
    set(&mut breaker, ids(1));
    assert!(breaker.admit(None).is_none(), "it is still at its limit");
    breaker.release(&held);
    assert!(Arc::ptr_eq(&breaker.admit(None).unwrap(), &held));
}

#[test]
fn room_for_a_burst_keeps_the_activators_bound_until_the_backends_could_take_it() {
    let bound = |burst: i64, backends: usize, waiting: u32| {
        let mut breaker = Breaker::new(5, 1000);
        breaker.set_burst_capacity(burst);
        set(&mut breaker, ids(backends));
        while breaker.admit(None).is_some() {}
        for request in 0..waiting {
            breaker.enqueue(request).unwrap();
        }
        (waiting..2000).find_map(|request| breaker.enqueue(request).err())
    };
    // Two backends take 10 at once, and let 100 wait.
    assert_eq!(bound(0, 2, 0), Some(Full(100)));
    assert_eq!(bound(211, 2, 0), Some(Full(1000)));
    assert_eq!(bound(-1, 4, 0), Some(Full(1000)));
    // They are busy: not even a burst of one fits.
    assert_eq!(bound(1, 2, 0), Some(Full(1000)));
}
