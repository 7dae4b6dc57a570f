//! The threads of tasks.
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::TargetState;
use super::control::{Control, Signal};
use super::metrics::TaskMetrics;
use super::offsets::OffsetStore;
use super::report::Reporter;
use super::setup::TaskSetup;
use super::sink::SinkLoop;
use super::source::SourceLoop;
use crate::plugin::{PluginError, SinkPlugin, SourcePlugin};

/// What a task runs.
pub(super) enum TaskPlugin {
    Source(Arc<dyn SourcePlugin>, Arc<dyn OffsetStore>),
    Sink(Arc<dyn SinkPlugin>),
}

/// A task that was started.
pub(super) struct TaskHandle {
    signal: watch::Sender<Signal>,
    abandoned: Arc<AtomicBool>,
    ended: watch::Receiver<bool>,
    pub(super) metrics: Arc<TaskMetrics>,
    pub(super) is_source: bool,
}

impl TaskHandle {
    /// Starts a task on a thread of its own.
    pub(super) fn start(
        setup: TaskSetup,
        plugin: TaskPlugin,
        target: TargetState,
        mut reporter: Reporter,
        runtime: &Handle,
    ) -> std::io::Result<Self> {
        let (signal, told) = watch::channel(Signal { target, stop: false });
        let (end, ended) = watch::channel(false);
        let abandoned = Arc::<AtomicBool>::default();
        reporter.abandoned = Arc::clone(&abandoned);
        let handle = Self {
            signal,
            ended,
            abandoned: Arc::clone(&abandoned),
            metrics: Arc::clone(&reporter.metrics),
            is_source: matches!(plugin, TaskPlugin::Source(..)),
        };
        let control = Control {
            signal: told,
            abandoned,
            runtime: runtime.clone(),
        };
        let name = format!("task-{}", setup.id);
        std::thread::Builder::new().name(name).spawn(move || {
            let run = catch_unwind(AssertUnwindSafe(|| run(&setup, &plugin, &control, &reporter)));
            let result = run.unwrap_or_else(|panic| Err(PluginError::fatal(panicked(&*panic))));
            if !control.is_abandoned() {
                match result {
                    Ok(()) => reporter.stopped(),
                    Err(error) => reporter.failed(&error),
                }
            }
            drop((setup, plugin));
            let _ = end.send(true);
        })?;
        Ok(handle)
    }

    /// Whether its thread has ended.
    pub(super) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    pub(super) fn set_target(&self, target: TargetState) {
        self.signal.send_modify(|signal| signal.target = target);
    }

    /// Asks it to end.
    pub(super) fn ask_to_stop(&self) {
        self.signal.send_modify(|signal| signal.stop = true);
    }

    /// Waits until it has ended; says whether it has within `patience`. If not it is abandoned.
    pub(super) async fn wait(mut self, patience: Duration) -> bool {
        let ended = tokio::time::timeout(patience, self.ended.wait_for(|ended| *ended)).await;
        if ended.is_err() {
            self.abandoned.store(true, Ordering::Release);
        }
        ended.is_ok()
    }
}

fn run(
    setup: &TaskSetup,
    plugin: &TaskPlugin,
    control: &Control,
    reporter: &Reporter,
) -> Result<(), PluginError> {
    // A task that is to be paused from the start does nothing before it is resumed.
    if control.paused() && !control.stopping() {
        reporter.paused();
        while control.paused() && !control.stopping() {
            control.sleep(Duration::from_secs(1));
        }
    }
    if control.stopping() {
        return Ok(());
    }
    match plugin {
        TaskPlugin::Source(plugin, store) => {
            let parts = setup.source(&**plugin, store, control)?;
            SourceLoop::new(parts, setup, control, reporter).run()
        }
        TaskPlugin::Sink(plugin) => {
            let parts = setup.sink(&**plugin, control)?;
            SinkLoop::new(parts, setup, control, reporter)?.run()
        }
    }
}

/// What a panic says.
fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("the task panicked: {}", text.unwrap_or_default())
}
