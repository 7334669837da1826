//! How many connections were held on one machine, as a table.

use super::format::{MISSING, bytes, decimal_bytes, memory_bytes, or_missing, shortened, whole};
use super::group::{kebab, memory_scope};
use super::held::{Held, held};
use super::metric;
use super::sheet::Sheet;
use fourtuple_spec::{Peer, Record};

/// The table; `None` where no run held and proved anything.
pub fn sheet(records: &[&Record]) -> Option<Sheet> {
    let found = held(records)?;
    let mut sheet = Sheet::new(
        "Connections held on this machine, by peer kind",
        2,
        &["engine", "peers", "held", "end", "kernel", "all of it"],
    );
    sheet.rows = found.all.iter().map(row).collect();
    sheet.intro = scopes(found.all.iter().map(|one| one.peer));
    if let Some(memory) = found.memory_bytes {
        sheet.intro.push_str(&format!(
            " The machine has {} ({}); all of it is what all of them took of that, with both processes.",
            memory_bytes(memory),
            decimal_bytes(memory as f64)
        ));
    }
    if found.has_others {
        sheet.notes = vec!["Runs on other machines are left out.".to_owned()];
    }
    Some(sheet)
}

/// What kernel memory is of with each of these kinds of peers, in sentences.
pub fn scopes(peers: impl Iterator<Item = Peer>) -> String {
    let mut known: Vec<Peer> = Vec::new();
    for peer in peers {
        if !known.contains(&peer) {
            known.push(peer);
        }
    }
    let words = known.iter().map(|peer| {
        let scope = memory_scope(*peer);
        format!("with {} peers, of {scope}", kebab(peer))
    });
    format!(
        "Kernel bytes are, {}.",
        words.collect::<Vec<_>>().join("; ")
    )
}

fn row(one: &Held<'_>) -> Vec<String> {
    let settings = match one.settings().as_str() {
        "" => String::new(),
        words => format!(", {words}"),
    };
    let all = one.bytes().map(|each| each * f64::from(one.connections));
    vec![
        format!("{}{settings}", one.engine),
        kebab(&one.peer),
        whole(f64::from(one.connections)),
        shortened(&one.end(), 40),
        metric::kernel_bytes(one.record).map_or_else(|| MISSING.to_owned(), bytes),
        or_missing(all, decimal_bytes),
    ]
}
