//! The process ends at each named point between two durable steps, over and over, while records stream in.

use super::{load::Load, server::Stand};
use crate::support::{Backend, on_backends, on_every_backend};

/// Records of each lane.
const EACH: usize = 20;
/// How often it crashes before it is let be.
const CRASHES: usize = 3;

async fn crashes_at(backend: Backend, point: &str) {
    use std::os::unix::process::ExitStatusExt as _;

    let stand = Stand::new(backend);
    let mut server = stand.start_to_crash(point);
    let load = Load::start(&stand, &server, EACH);
    for crash in 1..=CRASHES {
        // Something new comes each time: even a point that is passed only for what is new is passed.
        load.allow(100 * crash / (CRASHES + 1));
        assert!(server.ended().signal().is_some(), "it should have crashed at {point}:\n{}", stand.log());
        server = if crash < CRASHES { stand.start_to_crash(point) } else { stand.start() };
        load.moved(&server);
    }
    load.allow(100);
    load.judged(&stand, &server).await;
}

on_every_backend! {
    async fn a_crash_before_the_commit_is_healed_by_repeating_the_request(backend) {
        crashes_at(backend, "before-commit").await;
    }

    async fn a_crash_after_the_commit_and_before_the_answer_stores_once(backend) {
        crashes_at(backend, "after-commit").await;
    }

    async fn a_crash_after_the_claim_loses_nothing(backend) {
        crashes_at(backend, "after-claim").await;
    }

    async fn a_crash_after_the_effect_and_before_its_acknowledgement_has_the_effect_once(backend) {
        crashes_at(backend, "after-effect").await;
    }
}

on_backends! { [scaled Scaled]
    async fn a_crash_between_append_and_mark_appends_once(backend) {
        crashes_at(backend, "after-append").await;
    }
}
