//! The doctor's answer for a person: the answer, then one table, then what there is to know of each limit.

use super::answer::{Answer, binding};
use super::number::count;
use super::page::Page;
use super::question::{BytesSource, EachBytes};
use super::rows::{self, Row};
use super::{Allows, Ladder, Rung};
use fourtuple_spec::Limits;

/// The whole answer.
pub fn text(answer: &Answer, is_color: bool) -> String {
    let mut page = Page::new(is_color);
    head(&mut page, answer);
    if let Some(wanted) = answer.asked.connections {
        obstacles(&mut page, answer, wanted);
    }
    let rows = rows::of(answer);
    rows::table(&mut page, answer, &rows);
    bytes(&mut page, answer);
    details(&mut page, &rows, &answer.limits);
    unknown(&mut page, &rows);
    unbounded(&mut page, &rows);
    others(&mut page, &rows);
    page.into_text()
}

/// The answer in a few lines.
fn head(page: &mut Page, answer: &Answer) {
    let who = who(&answer.limits);
    if let Some(is_yes) = answer.is_yes() {
        let wanted = count(answer.asked.connections.unwrap_or(0));
        let as_what = as_what(answer, is_yes);
        page.strong(&match is_yes {
            true if !answer.unknown().is_empty() => format!(
                "Yes, as far as could be read: {who} can hold {wanted} more connections {as_what}."
            ),
            true => format!("Yes: {who} can hold {wanted} more connections {as_what}."),
            false => format!("No: {who} cannot hold {wanted} more connections {as_what}."),
        });
    }
    if let Some(server) = &answer.server {
        page.strong(&format!("As a server, {who} {}", can_hold(server)));
    }
    if let Some(client) = &answer.client {
        page.strong(&format!(
            "As a client of {}, it {}",
            of_what(answer),
            can_hold(client)
        ));
    }
    if let Some(direct) = &answer.direct {
        page.paragraph(&format!(
            "As a server whose connections are io_uring's direct descriptors, which RLIMIT_NOFILE does not count, it {}",
            can_hold(direct)
        ));
    }
    if !answer.unknown().is_empty() {
        page.paragraph("Not everything could be read: what is unknown is below.");
    }
}

fn who(limits: &Limits) -> String {
    match (limits.process.pid, &limits.process.name) {
        (None, _) => "a process started from here".to_owned(),
        (Some(pid), None) => format!("process {pid}"),
        (Some(pid), Some(name)) => format!("process {pid} ({name})"),
    }
}

/// The ends that the answer is about: those that cannot, of a no.
fn as_what(answer: &Answer, is_yes: bool) -> String {
    let wanted = answer.asked.connections.unwrap_or(0);
    let is_meant = |ladder: &&Ladder| is_yes || !ladder.obstacles(wanted).is_empty();
    let server = answer.server.as_ref().filter(is_meant);
    let client = answer.client.as_ref().filter(is_meant);
    match (server, client) {
        (Some(_), None) => "as a server".to_owned(),
        (None, _) => format!("as a client of {}", of_what(answer)),
        (Some(_), Some(_)) => {
            let what = of_what(answer);
            match is_yes {
                true => format!("as a server and as a client of {what}, each by itself"),
                false => format!("as a server or as a client of {what}"),
            }
        }
    }
}

fn of_what(answer: &Answer) -> String {
    let destinations = match answer.asked.destinations {
        1 => "one destination".to_owned(),
        several => format!("{} destinations", count(several)),
    };
    match answer.asked.sources {
        1 => destinations,
        several => format!("{destinations} from {} addresses", count(several)),
    }
}

fn can_hold(ladder: &Ladder) -> String {
    match (ladder.allows(), binding(ladder)) {
        (Some(allows), Some(rung)) => format!(
            "can hold {} more connections: {} stops the next one.",
            count(allows),
            rung.limit
        ),
        _ => "meets no limit of what could be read.".to_owned(),
    }
}

/// What stands in the way, and what would clear it.
fn obstacles(page: &mut Page, answer: &Answer, wanted: u64) {
    let mut refusals: Vec<String> = Vec::new();
    for rung in answer.ladders().flat_map(|ladder| ladder.obstacles(wanted)) {
        let refusal = rung.refusal(wanted);
        if !refusals.contains(&refusal) {
            refusals.push(refusal);
        }
    }
    if refusals.is_empty() {
        return;
    }
    page.heading("What stands in the way");
    refusals.iter().for_each(|refusal| page.item(refusal));
    let clearing = answer.clearing();
    page.heading(
        match (clearing.commands.is_empty(), clearing.left.is_empty()) {
            (true, _) => "No command clears it",
            (false, true) => "Commands that clear it",
            (false, false) => "Commands that clear a part of it",
        },
    );
    let commands = clearing.commands.iter();
    commands.for_each(|command| page.command(command));
    if !clearing.commands.is_empty() && !clearing.left.is_empty() {
        page.item(&format!("They leave {}.", listed(&names(&clearing.left))));
    }
}

/// What is left is told with its advice, and that is in the refusal already.
fn names(left: &[String]) -> Vec<&str> {
    let name = |left: &'_ String| left.find(": ").unwrap_or(left.len());
    left.iter().map(|left| &left[..name(left)]).collect()
}

fn listed(names: &[&str]) -> String {
    match names {
        [names @ .., last] if !names.is_empty() => format!("{} and {last}", names.join(", ")),
        names => names.concat(),
    }
}

/// What a connection takes, and how that is known.
fn bytes(page: &mut Page, answer: &Answer) {
    page.heading("Memory of a connection");
    let ends = [("server", &answer.server), ("client", &answer.client)];
    for (end, ladder) in ends {
        if let Some(ladder) = ladder {
            page.item(&bytes_words(end, &ladder.question.memory));
        }
    }
    answer.notes.iter().for_each(|note| page.item(note));
}

fn bytes_words(end: &str, each: &EachBytes) -> String {
    let source = match &each.source {
        BytesSource::Published => {
            "as published with this program; no run of this engine with 10,000 connections or more was found that was \
             made on this machine and kernel"
                .to_owned()
        }
        BytesSource::Measured {
            directory,
            connections,
        } => format!(
            "measured on this machine with {} connections ({directory})",
            count(*connections)
        ),
    };
    let charged = match each.charged_bytes {
        Some(charged) => format!(", of which a control group is charged {} B", count(charged)),
        None => String::new(),
    };
    format!("a {end}'s end: {} B{charged}, {source}", count(each.bytes))
}

/// Each limit that allows a number: where it was read, how it shows, how it is raised.
fn details(page: &mut Page, rows: &[Row], limits: &Limits) {
    let counted = rows.iter().filter(|row| row.least().is_some());
    for (index, row) in counted.enumerate() {
        if index == 0 {
            page.heading("Where they were read, how they show, how they are raised");
        } else {
            page.blank();
        }
        detail(page, row.narrowest(), limits);
    }
}

fn detail(page: &mut Page, rung: &Rung, limits: &Limits) {
    page.name(rung.limit);
    let used = rung.used.iter().map(|used| format!("; {used}"));
    page.labelled(
        "read",
        &format!("{}{}", rung.read_from, used.collect::<String>()),
    );
    page.labelled("shows as", rung.symptom);
    if let Some(command) = &rung.remedy.now {
        page.labelled(now_label(limits), "");
        page.command(command);
    }
    if let Some(lasting) = &rung.remedy.lasting {
        page.labelled("for good", lasting);
    }
    if let Some(advice) = &rung.remedy.advice {
        page.labelled("to know", advice);
    }
}

fn now_label(limits: &Limits) -> &'static str {
    match limits.process.user.known() {
        Some(0) | None => "raise now",
        Some(_) => "raise now (some of it takes root)",
    }
}

fn unknown(page: &mut Page, rows: &[Row]) {
    let reasons = rows.iter().filter_map(|row| match &row.narrowest().allows {
        Allows::Unknown(reason) => Some((row.narrowest(), reason)),
        _ => None,
    });
    for (index, (rung, reason)) in reasons.enumerate() {
        if index == 0 {
            page.heading("Unknown");
        }
        let from = &rung.read_from;
        page.item(&format!("{}: {reason} ({from})", rung.limit));
    }
}

/// Those that bound nothing of what was asked.
fn unbounded(page: &mut Page, rows: &[Row]) {
    let reasons = rows.iter().filter_map(|row| match &row.narrowest().allows {
        Allows::Any(reason) => Some((row.narrowest(), reason)),
        _ => None,
    });
    for (index, (rung, reason)) in reasons.enumerate() {
        if index == 0 {
            page.heading("These stop nothing of this kind");
        }
        page.item(&format!("{}{}: {reason}", rung.limit, equals(rung)));
    }
}

/// Those that bound something else.
fn others(page: &mut Page, rows: &[Row]) {
    let others = rows.iter().filter_map(|row| match &row.narrowest().allows {
        Allows::Other(what) => Some((row.narrowest(), what)),
        _ => None,
    });
    for (index, (rung, what)) in others.enumerate() {
        if index == 0 {
            page.heading("These bound something else");
        }
        page.item(&format!("{}{}: {what}", rung.limit, equals(rung)));
        if let Some(command) = &rung.remedy.now {
            page.command(command);
        }
    }
}

fn equals(rung: &Rung) -> String {
    rung.value
        .iter()
        .map(|value| format!(" = {value}"))
        .collect()
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
