//! Under load: the process is killed, its database restarted, its Redis flushed, stopped and rolled back.

use redis::{Connection, cmd};

use super::{load::Load, server::Stand};
use crate::support::{on_backends, on_every_backend, servers::Redis};

/// A fault that leaves the server running, at a fifth, two fifths and so on of a load.
async fn goes_through(mut stand: Stand, mut fault: impl FnMut(&mut Stand, usize)) {
    let server = stand.start();
    let load = Load::running(&stand, &server);
    for round in 0..4 {
        load.reaches(20 * (round + 1)).await;
        fault(&mut stand, round);
    }
    load.judged(&stand, &server).await;
}

on_every_backend! {
    async fn being_killed_under_load_loses_and_doubles_nothing(backend) {
        let stand = Stand::new(backend);
        let mut server = stand.start();
        let load = Load::running(&stand, &server);
        for round in 0..4 {
            load.reaches(20 * (round + 1)).await;
            server.kill();
            server = stand.start();
            load.moved(&server);
        }
        load.judged(&stand, &server).await;
    }
}

on_backends! { [postgres Postgres, scaled Scaled]
    async fn a_restarted_database_heals_without_a_restart(backend) {
        goes_through(Stand::new(backend), |stand, _| stand.postgres.as_mut().unwrap().restart()).await;
    }
}

on_backends! { [scaled Scaled]
    async fn a_flushed_redis_or_valkey_loses_nothing(backend) {
        for program in Redis::every_installed() {
            println!("on {program}");
            let mut stand = Stand::new(backend);
            stand.redis = Some(Redis::start_program(program));
            goes_through(stand, |stand, _| cmd("FLUSHALL").exec(&mut stand.redis()).unwrap()).await;
        }
    }
}

on_backends! { [embedded Embedded]
    async fn a_redis_beside_the_embedded_database_may_be_flushed_too(backend) {
        let mut stand = Stand::new(backend);
        stand.redis = Redis::start();
        if stand.redis.is_some() {
            goes_through(stand, |stand, _| cmd("FLUSHALL").exec(&mut stand.redis()).unwrap()).await;
        }
    }
}

on_backends! { [scaled Scaled]
    async fn a_redis_that_stops_and_comes_back_empty_loses_nothing(backend) {
        goes_through(Stand::new(backend), |stand, round| {
            let redis = stand.redis.as_mut().unwrap();
            if round % 2 == 0 { redis.stop() } else { redis.start_again() }
        })
        .await;
    }
}

on_backends! { [scaled Scaled]
    async fn a_redis_that_is_rolled_back_loses_and_doubles_nothing(backend) {
        let mut dumped = Vec::new();
        goes_through(Stand::new(backend), |stand, round| {
            if round % 2 == 0 { dumped = dump(&mut stand.redis()) } else { restore(&mut stand.redis(), &dumped) }
        })
        .await;
    }
}

on_backends! { [scaled Scaled]
    async fn a_redis_that_is_full_loses_nothing(backend) {
        goes_through(Stand::new(backend), |stand, round| {
            let bytes = if round % 2 == 0 { 1 } else { 0 };
            cmd("CONFIG").arg("SET").arg("maxmemory").arg(bytes).exec(&mut stand.redis()).unwrap();
        })
        .await;
    }
}

/// Every stream as it is now.
fn dump(redis: &mut Connection) -> Vec<(String, Vec<u8>)> {
    let keys: Vec<String> = cmd("KEYS").arg("ws:*").query(redis).unwrap();
    keys.into_iter()
        .map(|key| {
            let value = cmd("DUMP").arg(&key).query(redis).unwrap();
            (key, value)
        })
        .collect()
}

/// Puts older streams back, as a failover to a replica that lags would.
fn restore(redis: &mut Connection, dumped: &[(String, Vec<u8>)]) {
    assert!(!dumped.is_empty(), "there are streams by now");
    for (key, value) in dumped {
        cmd("RESTORE").arg(key).arg(0).arg(value).arg("REPLACE").exec(redis).unwrap();
    }
}
