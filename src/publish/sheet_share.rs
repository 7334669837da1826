//! Whose a connection's memory is, as a table.

use super::format::{bytes, deviation, or_missing, whole};
use super::group::Group;
use super::price;
use super::share::{Control, shares};
use super::sheet::Sheet;
use fourtuple_spec::{EndpointState, Peer, Record};

/// Whose a connection's memory is.
pub fn sheet(group: &Group<'_>, all: &[Record]) -> Option<Sheet> {
    let (control, shares) = shares(group)?;
    let mut sheet = Sheet::new(
        "Whose it is, bytes a connection",
        1,
        &[
            "engine",
            "connections",
            "server, kernel",
            "client, kernel",
            "server, user",
            "client, user",
            "sum",
        ],
    );
    for share in &shares {
        let user = share.server_user.unwrap_or(0.0) + share.client_user.unwrap_or(0.0);
        sheet.rows.push(vec![
            share.name.clone(),
            whole(f64::from(share.connections)),
            bytes(share.server_kernel()),
            bytes(share.client_kernel),
            or_missing(share.server_user, bytes),
            or_missing(share.client_user, bytes),
            bytes(share.kernel + user),
        ]);
    }
    sheet.intro = division(&control);
    sheet.notes.extend(cross_check(&control, all));
    Some(sheet)
}

/// How the control was divided.
fn division(control: &Control) -> String {
    let mut text = format!(
        "By difference, at each engine's largest count: in the null run both ends are idle and nobody waits, so what both have one of is halved \
         ({} each). Bind buckets ({}) are the client's.",
        bytes((control.kernel - control.bind - control.rings.0 - control.rings.1) / 2.0),
        bytes(control.bind)
    );
    if control.is_merged {
        text.push_str(" They were found in eventpoll_epi, a cache of the same size that the kernel merged them into: a null server polls nothing.");
    }
    text.push_str(if control.has_rings {
        " Pages of rings are of the process that has them."
    } else {
        " Whose pages of rings are is not in these records: they are halved as well."
    });
    text.push_str(" What an engine takes beyond null is its server's.");
    text
}

/// The server's endpoint by difference, beside the same endpoint priced alone, before ghosts.
fn cross_check(control: &Control, all: &[Record]) -> Option<String> {
    let prices = price::prices(all);
    let accepted = prices.iter().find(|price| {
        let key = &price.key;
        key.state == EndpointState::Accepted && key.peer == Peer::Ghost && key.sysctls.is_empty()
    })?;
    let alone = accepted.bytes?;
    let divided = control.kernel - control.client();
    Some(format!(
        "The price list has the same endpoint alone, accepted and unarmed before ghosts, at {}: by difference it is {}, {} off.",
        bytes(alone),
        bytes(divided),
        deviation(divided / alone - 1.0)
    ))
}
