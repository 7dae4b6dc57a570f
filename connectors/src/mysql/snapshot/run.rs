//! A snapshot that is under way: which tables are its, which are begun, and which come next.
use std::collections::{BTreeSet, VecDeque};

use regex::Regex;

use super::mark::Mark;
use super::request::RequestId;
use super::select::Source;
use super::settings::Settings;
use super::state::{Run, RunKind, TableState};
use super::work::TableWork;
use crate::mysql::schema::TableId;
use crate::mysql::signal::expression;
use crate::mysql::stream::LogPosition;

/// A snapshot that is under way, beside what is stored of it.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) listing: Listing,
    /// The tables that were listed may be those of a place ahead of the stream: before this mark, there may be others.
    listed: Option<(Mark, BTreeSet<TableId>)>,
    /// The tables that are begun, as in what is stored.
    pub(super) tables: Vec<TableWork>,
    /// The tables that are its own, for signals' expressions; all that are captured without.
    wanted: Option<Vec<Regex>>,
    unwanted: Vec<Regex>,
    conditions: Vec<(Regex, String)>,
    /// How many tables there were, and rows in them, by the server's estimates.
    pub(super) tables_total: u64,
    pub(super) rows_total: Option<u64>,
}

/// The tables that come next.
#[derive(Debug)]
pub(super) enum Listing {
    Wanted,
    Asked(RequestId),
    /// In the order of their names.
    Known(VecDeque<TableId>),
}

fn expressions(texts: &[String]) -> Vec<Regex> {
    // They were tried when the signal came; what an offset was altered to names nothing.
    texts.iter().filter_map(|text| expression(text).ok()).collect()
}

impl Running {
    pub(super) fn new(run: &Run) -> Self {
        let mut running = Self {
            listing: Listing::Wanted,
            listed: None,
            tables: run
                .open
                .iter()
                .map(|open| TableWork::new(open.table.clone()))
                .collect(),
            wanted: None,
            unwanted: Vec::new(),
            conditions: Vec::new(),
            tables_total: 0,
            rows_total: None,
        };
        if let RunKind::Incremental(asked) = &run.kind {
            running.wanted = Some(expressions(&asked.tables));
            running.unwanted = expressions(&asked.stopped);
            let conditions = asked.conditions.iter();
            running.conditions = conditions
                .filter_map(|(table, condition)| Some((expression(table).ok()?, condition.clone())))
                .collect();
        }
        running
    }

    /// Whether a table belongs to it.
    pub(super) fn has(&self, table: &TableId, settings: &Settings) -> bool {
        let name = table.to_string();
        let among = |expressions: &[Regex]| expressions.iter().any(|expression| expression.is_match(&name));
        let captured = settings.filters.databases.has(&table.database) && settings.filters.tables.has(&name);
        let signals = settings.filters.signal_table.as_deref() == Some(&*name);
        let chosen = match &self.wanted {
            Some(wanted) => among(wanted),
            None => settings.config.tables.has(&name),
        };
        captured && chosen && !signals && !among(&self.unwanted)
    }

    /// What a table's rows are read from.
    pub(super) fn source(&self, table: &TableId, settings: &Settings) -> Source {
        let name = table.to_string();
        let overrides = settings.config.overrides.iter();
        let statement = overrides
            .filter(|(of, _)| of.eq_ignore_ascii_case(&name))
            .map(|(_, statement)| &**statement)
            .next();
        let condition = self.conditions.iter().find(|(of, _)| of.is_match(&name));
        Source::new(table, statement, condition.map(|(_, condition)| &**condition))
    }

    /// The tables that there are came.
    pub(super) fn listed(
        &mut self,
        listed: Vec<(TableId, u64)>,
        high: Mark,
        run: &mut Run,
        settings: &Settings,
    ) {
        let mut own: Vec<(TableId, u64)> = listed
            .into_iter()
            .filter(|(table, _)| self.has(table, settings))
            .collect();
        own.sort_unstable();
        let names = own.iter().map(|(table, _)| table.clone());
        self.listed = Some((high, names.collect()));
        self.tables_total = own.len() as u64;
        self.rows_total = Some(own.iter().map(|(_, rows)| rows).sum());
        let behind = |table: &TableId| run.begun.as_ref().is_none_or(|begun| table > begun);
        // Others have the names of those that went away: what is in them nobody told.
        let (next, before): (Vec<TableId>, Vec<TableId>) =
            own.into_iter().map(|(table, _)| table).partition(behind);
        self.listing = Listing::Known(next.into());
        for table in before {
            if run.occupied(&table) && self.index_of(&table).is_none() {
                self.begin(table, run);
            }
        }
    }

    /// Begins the next table; whether there was one.
    pub(super) fn begin_next(&mut self, run: &mut Run) -> bool {
        let Listing::Known(next) = &mut self.listing else {
            return false;
        };
        let Some(table) = next.pop_front() else {
            return false;
        };
        run.begun = Some(table.clone());
        self.begin(table, run);
        true
    }

    pub(super) fn begin(&mut self, table: TableId, run: &mut Run) {
        run.open.push(TableState::new(table.clone()));
        self.tables.push(TableWork::new(table));
    }

    /// A table is not read any more; its requests, if there are any, are answered in vain.
    pub(super) fn end(&mut self, index: usize, run: &mut Run) -> TableWork {
        run.open.remove(index);
        self.tables.remove(index)
    }

    /// Tables that match are not wanted any more; those that were begun.
    pub(super) fn leave_out(
        &mut self,
        stopped: Vec<Regex>,
        run: &mut Run,
        settings: &Settings,
    ) -> Vec<TableWork> {
        self.unwanted.extend(stopped);
        let mut listing = std::mem::replace(&mut self.listing, Listing::Wanted);
        if let Listing::Known(next) = &mut listing {
            next.retain(|table| self.has(table, settings));
        }
        self.listing = listing;
        let begun: Vec<usize> = (0..self.tables.len())
            .rev()
            .filter(|index| !self.has(&self.tables[*index].id, settings))
            .collect();
        begun.into_iter().map(|index| self.end(index, run)).collect()
    }

    pub(super) fn index_of(&self, table: &TableId) -> Option<usize> {
        self.tables.iter().position(|work| work.id == *table)
    }

    /// Whether all tables were begun.
    pub(super) fn all_begun(&self) -> bool {
        matches!(&self.listing, Listing::Known(next) if next.is_empty())
    }

    /// Tables that were not begun.
    pub(super) fn left(&self) -> u64 {
        match &self.listing {
            Listing::Known(next) => next.len() as u64,
            _ => 0,
        }
    }

    /// Whether nothing of a table is read yet. It need not be among the tables that come next, for these may have been listed behind this place.
    fn is_left(&self, table: &TableId, run: &Run) -> bool {
        let unseen = self
            .listed
            .as_ref()
            .is_some_and(|(_, names)| !names.contains(table));
        unseen || run.begun.as_ref().is_none_or(|begun| table > begun)
    }

    /// No table is called so any more; whether not all of it was told. Another one may have its name soon, so that it is asked again which there are,
    /// before the run may end.
    pub(super) fn vacated(&mut self, table: &TableId, run: &mut Run, settings: &Settings) -> bool {
        let untold =
            self.has(table, settings) && (self.index_of(table).is_some() || self.is_left(table, run));
        if untold {
            run.vacated(table);
            self.listing = Listing::Wanted;
        }
        untold
    }

    /// A table has another name now; what was under way of it. Under that it is read from its first row on, unless all of it is told, or never was
    /// to be.
    pub(super) fn renamed(
        &mut self,
        (from, to): (&TableId, &TableId),
        run: &mut Run,
        settings: &Settings,
    ) -> Option<TableWork> {
        let untold = self.vacated(from, run, settings);
        let index = self.index_of(from);
        let ended = index.map(|index| self.end(index, run));
        if let Listing::Known(next) = &mut self.listing {
            next.retain(|other| other != from);
        }
        // Tables are swapped, and the one that comes may be none of this snapshot's own: nobody told what is in it.
        let wanted = self.has(to, settings) && (untold || !self.has(from, settings) || run.occupied(to));
        if wanted {
            tracing::info!(table = %to, was = %from, "the table has another name: it is read from its first row on");
            run.occupied(to);
            match self.index_of(to) {
                Some(index) => run.open[index].begin_again(),
                None => self.take_up(to.clone(), run),
            }
        }
        ended
    }

    /// The stream stands here. Whether nothing more may come than was listed.
    pub(super) fn pass(&mut self, position: &LogPosition) -> bool {
        let known = self.listed.take_if(|(mark, _)| mark.is_passed_by(position));
        known.is_some()
    }

    /// Whether nothing is left to read.
    pub(super) fn is_done(&self) -> bool {
        self.all_begun() && self.tables.is_empty() && self.listed.is_none()
    }

    /// A table that has another name now comes with that.
    fn take_up(&mut self, table: TableId, run: &mut Run) {
        let behind = run.begun.as_ref().is_none_or(|begun| table > *begun);
        match &mut self.listing {
            Listing::Known(next) if behind => {
                let at = next.partition_point(|other| *other < table);
                if next.get(at) != Some(&table) {
                    next.insert(at, table);
                }
            }
            // It will be found when tables are listed.
            _ if behind => {}
            _ => self.begin(table, run),
        }
    }
}
