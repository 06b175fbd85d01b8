//! A measured figure beside its bar, and the CPU time of whoever asks: what `make bench` prints.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// By how much a figure may miss its bar before that counts: what two runs of one build differ by on a busy machine.
pub const NOISE: f64 = 0.1;

/// What became of the bars of one benchmark.
#[derive(Debug, Default)]
pub struct Bars(Vec<String>);

impl Bars {
    /// A figure that should be at most this.
    pub fn at_most(&mut self, what: &str, measured: f64, bar: f64, unit: &str) {
        self.hold(what, measured, bar, unit, "at most", measured / bar - 1.0);
    }

    /// A figure that should be at least this.
    pub fn at_least(&mut self, what: &str, measured: f64, bar: f64, unit: &str) {
        self.hold(what, measured, bar, unit, "at least", 1.0 - measured / bar);
    }

    fn hold(&mut self, what: &str, measured: f64, bar: f64, unit: &str, word: &str, missed: f64) {
        let mark = if missed <= 0.0 {
            "met   "
        } else if missed <= NOISE {
            "noise "
        } else {
            "MISSED"
        };
        println!("{mark}  {what}: {measured:.2} {unit} (bar: {word} {bar:.2})");
        // A figure that is none has missed its bar, too.
        if missed.is_nan() || missed > NOISE {
            self.0.push(what.to_owned());
        }
    }

    /// Ends the benchmark.
    ///
    /// # Panics
    /// Where a bar was missed by more than noise.
    pub fn done(self) {
        assert!(self.0.is_empty(), "missed: {}", self.0.join(", "));
    }
}

/// A figure that no bar is set for.
pub fn told(what: &str, figure: &str) {
    println!("        {what}: {figure}");
}

/// The one in the middle: what neither one lucky nor one disturbed run decides.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// What this thread has spent on its CPU so far: other processes don't count, however busy the machine is.
///
/// # Panics
/// Where the system does not say.
#[must_use]
pub fn thread_cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .unwrap()
        .into()
}

/// What `work` costs this thread, in microseconds.
pub fn micros_of(work: impl FnOnce()) -> f64 {
    let begin = thread_cpu();
    work();
    (thread_cpu() - begin).as_secs_f64() * 1e6
}
