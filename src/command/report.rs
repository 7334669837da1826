//! `fourtuple report`: everything that is drawn, drawn again from the records alone.

use crate::cli;
use crate::exit::{Ended, Exit};
use crate::store;
use crate::sweep::publish_all;

/// Draws a report again.
pub fn report(arguments: &cli::Report) -> Result<Exit, Ended> {
    let directory = &arguments.directory;
    let records = store::read(directory)?;
    if records.is_empty() {
        return Err(Ended::no(format!(
            "{} holds no record yet",
            directory.join(store::RECORDS_FILE).display()
        )));
    }
    let about = store::read_about(directory)?;
    publish_all(directory, &records, &about)?;
    Ok(Exit::Done)
}
