//! [`Fan`]: one build, heard by the view and the log file.

use super::view::ProgressView;
use crate::report::log_file::LogFile;
use crate::solve::{BuildObserver, Step, Transfer};

/// Hands everything on to the view and, where there is one, the log file.
pub(super) struct Fan<'a> {
    pub(super) view: &'a mut dyn ProgressView,
    pub(super) log: Option<&'a mut LogFile>,
}

impl BuildObserver for Fan<'_> {
    fn step_started(&mut self, step: &Step) {
        self.view.step_started(step);
        if let Some(log) = &mut self.log {
            log.step_started(step);
        }
    }

    fn raw_output(&mut self, step: &Step, data: &[u8]) {
        self.view.raw_output(step, data);
        if let Some(log) = &mut self.log {
            log.raw_output(step, data);
        }
    }

    fn log_line(&mut self, step: &Step, seconds: f64, line: &str) {
        self.view.log_line(step, seconds, line);
        if let Some(log) = &mut self.log {
            log.log_line(step, seconds, line);
        }
    }

    fn transfer(&mut self, step: &Step, transfer: &Transfer) {
        self.view.transfer(step, transfer);
        if let Some(log) = &mut self.log {
            log.transfer(step, transfer);
        }
    }

    fn warning(&mut self, step: Option<&Step>, warning: &str) {
        self.view.warning(step, warning);
        if let Some(log) = &mut self.log {
            log.warning(step, warning);
        }
    }

    fn step_ended(&mut self, step: &Step) {
        self.view.step_ended(step);
        if let Some(log) = &mut self.log {
            log.step_ended(step);
        }
    }

    fn client_text(&mut self, line: &[u8]) {
        self.view.client_text(line);
        if let Some(log) = &mut self.log {
            log.client_text(line);
        }
    }
}
