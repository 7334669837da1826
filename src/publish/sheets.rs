//! Which tables that answer more than one run can stand where: in a report, on a terminal, on a front page.

use super::group::{Group, groups};
use super::model::models;
use super::sheet::Sheet;
use super::{
    sheet_ceiling, sheet_client, sheet_cost, sheet_endpoint, sheet_evenness, sheet_factors,
    sheet_judges, sheet_mix, sheet_model,
};
use super::{sheet_open, sheet_price, sheet_rounds, sheet_shapes, sheet_share, sheet_waits};
use fourtuple_spec::Record;

/// Everything that a group of ordinary runs has to say about memory, by model and by ledger.
pub fn of_group(group: &Group<'_>, all: &[Record]) -> Vec<Sheet> {
    let mut sheets = Vec::new();
    let models = models(group);
    sheets.extend(sheet_model::lines(group));
    sheets.extend(sheet_model::beyond(group));
    sheets.extend(sheet_model::predictions(&models));
    sheets.extend(sheet_model::capacity(group, &models));
    sheets.extend(super::ledger::unattributed(group));
    if !sheets.is_empty() {
        sheets.extend(super::ledger::sheet(group));
        sheets.extend(sheet_share::sheet(group, all));
    }
    sheets.extend(sheet_cost::sheet(group));
    sheets.extend(sheet_rounds::sheet(group));
    sheets.extend(sheet_evenness::sheet(group));
    sheets.extend(sheet_client::sheet(group));
    sheets
}

/// What is not of ordinary runs: ceilings, prices, mixes.
pub fn of_rest(records: &[Record]) -> Vec<Sheet> {
    let mut sheets = Vec::new();
    sheets.extend(sheet_ceiling::sheet(records));
    sheets.extend(sheet_factors::sheet(records));
    sheets.extend(sheet_waits::sheet(records));
    sheets.extend(sheet_shapes::sheets(records));
    sheets.extend(sheet_judges::sheets(records));
    sheets.extend(sheet_open::sheets(records));
    sheets.extend(sheet_endpoint::sheet(&[records]));
    sheets.extend(sheet_mix::sheet(records));
    sheets.extend(sheet_price::sheet(records));
    sheets.extend(sheet_price::remedies(records));
    sheets
}

/// What a terminal has room for: predictions, what is unexplained, rounds, and what is in no group.
pub fn terminal(records: &[Record]) -> Vec<Sheet> {
    let mut sheets = Vec::new();
    for group in groups(records) {
        sheets.extend(sheet_model::beyond(&group));
        sheets.extend(sheet_model::predictions(&models(&group)));
        sheets.extend(super::ledger::unattributed(&group));
        sheets.extend(sheet_rounds::sheet(&group));
    }
    sheets.extend(of_rest(records));
    sheets
}

/// The tables that a front page has room for: of what no chart there shows.
pub fn front(records: &[Record], has_idle_chart: bool) -> Vec<Sheet> {
    let mut sheets = Vec::new();
    sheets.extend(sheet_ceiling::sheet(records));
    sheets.extend(sheet_judges::sheets(records));
    if !has_idle_chart {
        sheets.extend(sheet_mix::sheet(records));
    }
    sheets.extend(sheet_open::sheets(records));
    sheets.extend(sheet_price::remedies(records));
    sheets
}
