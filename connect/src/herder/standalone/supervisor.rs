//! Starts again what failed.
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::lifecycle::{Divide, policy};
use super::{Shared, locked};
use crate::herder::Unit;
use crate::plugin::{ErrorKind, TaskId};
use crate::worker::{State, TargetState};

/// How long nothing is looked at if nothing happens.
const IDLE: Duration = Duration::from_secs(3600);

/// Listens to the board until the herder is gone.
pub(super) async fn run(herder: Weak<Shared>) {
    loop {
        let Some(shared) = herder.upgrade() else {
            return;
        };
        let board = Arc::clone(&shared.parts.board);
        let next = locked(&shared.restarts).next();
        let pause = next.map_or(IDLE, |at| at.saturating_duration_since(Instant::now()));
        drop(shared);
        // Either way the board is looked at; a timeout is no error.
        let _ = tokio::time::timeout(pause, board.changed()).await;
        let Some(shared) = herder.upgrade() else {
            return;
        };
        let news = board.take_news();
        let now = Instant::now();
        for unit in &news.running {
            locked(&shared.restarts).running(unit, now);
            locked(&shared.given_up).remove(unit);
        }
        for (unit, kind) in &news.failed {
            schedule(&shared, unit, *kind, now);
        }
        for name in news.reconfigure {
            tokio::spawn(reconfigure(Arc::clone(&shared), name));
        }
        let due = locked(&shared.restarts).due(Instant::now());
        for unit in due {
            tokio::spawn(restart(Arc::clone(&shared), unit));
        }
    }
}

fn schedule(shared: &Shared, unit: &Unit, kind: Option<ErrorKind>, now: Instant) {
    if kind == Some(ErrorKind::UserConfig) {
        locked(&shared.given_up).insert(unit.clone());
        return;
    }
    let Some(policy) = policy(shared, &unit.connector) else {
        return;
    };
    let at = locked(&shared.restarts).failed(unit, &policy, now, chance());
    if at.is_none() {
        locked(&shared.given_up).insert(unit.clone());
    }
    let (connector, task) = (&unit.connector, unit.task);
    match at {
        Some(at) => {
            let pause_ms = at.saturating_duration_since(now).as_millis();
            info!(
                connector,
                task, pause_ms, "what failed is started again after a pause"
            );
        }
        None => warn!(connector, task, "what failed stays FAILED until it is restarted"),
    }
}

/// A number from 0 to 1, different each time.
pub(in crate::herder) fn chance() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

async fn reconfigure(shared: Arc<Shared>, name: String) {
    let _lock = shared.locks.lock(&name).await;
    let started = shared.connector(&name).map(|connector| connector.target);
    if started == Ok(TargetState::Started) {
        shared.divide(&name, Divide::Changed).await;
    }
}

async fn restart(shared: Arc<Shared>, unit: Unit) {
    let _lock = shared.locks.lock(&unit.connector).await;
    // Meanwhile somebody else may have seen to it.
    if shared.parts.board.state(&unit) != Some(State::Failed) {
        return;
    }
    shared.restarts_made.fetch_add(1, Ordering::Relaxed);
    shared.parts.board.set(&unit, State::Restarting, None);
    let done = match unit.task {
        None => shared.restart_whole(&unit.connector).await,
        Some(task) => {
            let connector = unit.connector.clone();
            shared.restart_one(&TaskId { connector, task }).await
        }
    };
    if let Err(error) = done {
        warn!(connector = unit.connector, %error, "it could not be started again");
    }
}
