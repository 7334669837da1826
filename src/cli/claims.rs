//! The words of `claims`.

use clap::Args;
use std::path::PathBuf;

/// Try the article's claims.
#[derive(Args, Debug)]
pub struct Claims {
    /// Try this claim alone; may be repeated.
    #[arg(long, value_name = "ID")]
    pub only: Vec<String>,
    /// The million-sized forms too.
    #[arg(long)]
    pub full: bool,
    /// Print exactly one object, as JSON, on standard output.
    #[arg(long)]
    pub json: bool,
    /// Keep the records of the runs, the verdicts, charts and a page in DIR.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}
