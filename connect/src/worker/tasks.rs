//! The threads of tasks.
use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::TargetState;
use super::control::{Control, Signal};
use super::metrics::TaskMetrics;
use super::offsets::OffsetStore;
use super::report::Reporter;
use super::setup::TaskSetup;
use super::signals;
use super::sink::{self, SinkLoop};
use super::source::{Ended, SourceLoop};
use super::stall::{self, HANGING_MAX, Reported, StallPolicy};
use crate::plugin::{ErrorKind, PluginError, SinkPlugin, SourcePlugin, TaskId, TaskSignal};

/// What a task runs.
pub(super) enum TaskPlugin {
    Source(Arc<dyn SourcePlugin>, Arc<dyn OffsetStore>),
    Sink(Arc<dyn SinkPlugin>),
}

/// The tasks of a worker.
#[derive(Default)]
pub(super) struct Tasks {
    pub(super) running: HashMap<TaskId, TaskHandle>,
    /// Threads that were abandoned because they hang, and may still do.
    hanging: HashMap<TaskId, Vec<watch::Receiver<bool>>>,
}

impl Tasks {
    /// Whether another thread of the task may be left to itself.
    pub(super) fn may_abandon(&mut self, id: &TaskId) -> bool {
        let hanging = self.hanging.entry(id.clone()).or_default();
        hanging.retain(|ended| !*ended.borrow());
        hanging.len() < HANGING_MAX
    }

    /// The task was abandoned: another may be started in its place.
    pub(super) fn abandon(&mut self, id: &TaskId) {
        if let Some(task) = self.running.remove(id) {
            // One that waits for something else than its connector ends at once.
            task.ask_to_stop();
            self.hanging.retain(|_, threads| {
                threads.retain(|ended| !*ended.borrow());
                !threads.is_empty()
            });
            self.hanging.entry(id.clone()).or_default().push(task.ended);
        }
    }

    /// A sentence for each task that hangs now.
    pub(super) fn stalled(&self) -> Vec<String> {
        let stalled = self
            .running
            .iter()
            .filter_map(|(id, task)| stall::sentence(id, task.stall, task.metrics().inside()));
        let mut stalled: Vec<String> = stalled.collect();
        stalled.sort();
        stalled
    }
}

/// A task that was started.
pub(super) struct TaskHandle {
    signal: watch::Sender<Signal>,
    signals: signals::Sender,
    ended: watch::Receiver<bool>,
    reporter: Arc<Reporter>,
    pub(super) is_source: bool,
    pub(super) stall: StallPolicy,
    /// What was reported of a call that does not come back.
    pub(super) reported: Reported,
}

impl TaskHandle {
    /// Starts a task on a thread of its own.
    pub(super) fn start(
        setup: TaskSetup,
        plugin: TaskPlugin,
        target: TargetState,
        reporter: Reporter,
        runtime: &Handle,
    ) -> std::io::Result<Self> {
        let (signal, told) = watch::channel(Signal { target, stop: false });
        let (end, ended) = watch::channel(false);
        let (signals, mut asked) = signals::channel();
        let reporter = Arc::new(reporter);
        let handle = Self {
            signal,
            signals,
            ended,
            reporter: Arc::clone(&reporter),
            is_source: matches!(plugin, TaskPlugin::Source(..)),
            stall: setup.worker.task_stall.of_connector(&setup.connector_config),
            reported: Reported::default(),
        };
        let control = Control {
            signal: told,
            abandoned: Arc::clone(&reporter.abandoned),
            runtime: runtime.clone(),
        };
        let name = format!("task-{}", setup.id);
        std::thread::Builder::new().name(name).spawn(move || {
            let context = context(&setup.id);
            let _within = context.enter();
            let run = catch_unwind(AssertUnwindSafe(|| {
                run(&setup, &plugin, &control, &reporter, &mut asked)
            }));
            match run.unwrap_or_else(|panic| Err(PluginError::fatal(panicked(&*panic)))) {
                Ok(()) => reporter.stopped(),
                Err(error) if control.stopping() && error.kind() == ErrorKind::Retriable => {
                    reporter.interrupted(&error);
                }
                Err(error) => reporter.failed(&error.ending_task()),
            }
            drop((setup, plugin));
            let _ = end.send(true);
        })?;
        Ok(handle)
    }

    pub(super) fn metrics(&self) -> &TaskMetrics {
        &self.reporter.metrics
    }

    pub(super) fn reporter(&self) -> Arc<Reporter> {
        Arc::clone(&self.reporter)
    }

    /// Whether its thread has ended.
    pub(super) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    pub(super) fn set_target(&self, target: TargetState) {
        self.signal.send_modify(|signal| signal.target = target);
    }

    /// Has it take what a user asks for.
    pub(super) fn ask(
        &self,
        signal: TaskSignal,
    ) -> impl Future<Output = Result<(), PluginError>> + Send + use<> {
        let (signals, control) = (self.signals.clone(), self.signal.clone());
        // Told nothing new, it looks around all the same.
        async move { signals.ask(&signal, || control.send_modify(|_| {})).await }
    }

    /// Asks it to end.
    pub(super) fn ask_to_stop(&self) {
        self.signal.send_modify(|signal| signal.stop = true);
    }

    /// Waits until it has ended; says whether it has within `patience`. If not it is abandoned.
    pub(super) async fn wait(mut self, patience: Duration) -> bool {
        let ended = tokio::time::timeout(patience, self.ended.wait_for(|ended| *ended)).await;
        if ended.is_err() {
            self.reporter.abandon();
        }
        ended.is_ok()
    }
}

/// What stands before all that is logged on the task's thread (Kafka's `connector.context`). It is there whatever is logged.
fn context(id: &TaskId) -> tracing::Span {
    tracing::error_span!("task", connector = id.connector, task = id.task)
}

fn run(
    setup: &TaskSetup,
    plugin: &TaskPlugin,
    control: &Control,
    reporter: &Reporter,
    signals: &mut signals::Receiver,
) -> Result<(), PluginError> {
    let mut partitions_at_least = 0;
    loop {
        // A task that is to be paused from the start does nothing before it is resumed.
        if control.paused() && !control.stopping() {
            reporter.paused();
            while control.paused() && !control.stopping() {
                while let Some(asked) = signals.next() {
                    asked.answer(Err(PluginError::retriable(
                        "the task was not started yet; resume the connector, and send the signal again",
                    )));
                }
                control.sleep(Duration::from_secs(1));
            }
        }
        if control.stopping() {
            return Ok(());
        }
        match plugin {
            TaskPlugin::Source(plugin, store) => {
                let parts = setup.source(&**plugin, store, control)?;
                match SourceLoop::new(parts, setup, control, reporter, signals).run()? {
                    Ended::Stopped => return Ok(()),
                    Ended::Rewound => {}
                }
            }
            TaskPlugin::Sink(plugin) => {
                let parts = setup.sink(&**plugin, control, partitions_at_least)?;
                match SinkLoop::new(parts, setup, control, reporter)?.run()? {
                    sink::Ended::Stopped => return Ok(()),
                    sink::Ended::Outgrown { partitions } => partitions_at_least = partitions,
                }
            }
        }
    }
}

/// A connector's task, whose end may panic as well: that must neither fail what went well nor, while another panic is on its way, end the
/// process.
pub(super) struct Contained<T: ?Sized>(Option<Box<T>>);

impl<T: ?Sized> From<Box<T>> for Contained<T> {
    fn from(task: Box<T>) -> Self {
        Self(Some(task))
    }
}

impl<T: ?Sized> Deref for Contained<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().expect("it is there until it is dropped")
    }
}

impl<T: ?Sized> DerefMut for Contained<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_deref_mut().expect("it is there until it is dropped")
    }
}

impl<T: ?Sized> Drop for Contained<T> {
    fn drop(&mut self) {
        let task = self.0.take();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(task))) {
            tracing::error!("when it was dropped, {}", panicked(&*panic));
        }
    }
}

/// What a panic says.
fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("the task panicked: {}", text.unwrap_or_default())
}
